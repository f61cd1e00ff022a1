"""The folder of backends that tritonserver gets."""

from pathlib import Path

import pytest
from decoder.cpu_level import LEVELS, library_name

from serving.backends import backends_of, decoder_libraries


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "triton" / "backends" / "python").mkdir(parents=True)
    return tmp_path / "triton" / "backends"


def repository(folder: Path, backend: str) -> Path:
    (folder / "models" / "tensorrt_llm").mkdir(parents=True)
    (folder / "models" / "tensorrt_llm" / "config.pbtxt").write_text(f'backend: "{backend}"')
    return folder / "models"


def test_an_engine_of_another_backend_gets_tritons_own(own: Path, tmp_path: Path) -> None:
    assert backends_of(repository(tmp_path, "tensorrtllm"), own) == own


def test_a_repository_without_an_engine_gets_tritons_own(own: Path, tmp_path: Path) -> None:
    assert backends_of(tmp_path, own) == own


def test_an_engine_in_a_process_gets_its_backend_beside_the_others(own: Path, tmp_path: Path) -> None:
    models = repository(tmp_path, "engine_process")
    folder = backends_of(models, own)
    assert folder == backends_of(models, own)
    assert (folder / "python").resolve() == own / "python"
    assert {path.name for path in (folder / "engine_process").iterdir()} >= {
        "engine_host.py",
        "engine_socket.py",
        "libtriton_engine_process.so",
        "triton_python_backend_utils.py",
    }


def test_the_decoder_of_this_cpu_is_compiled(own: Path, tmp_path: Path) -> None:
    models = repository(tmp_path, "engine_process")
    question = models / "tensorrt_llm" / "1" / "decoder" / "cpu_level.py"
    question.parent.mkdir(parents=True)
    question.write_text('print("avx2", end="")')
    assert (backends_of(models, own) / "engine_process" / library_name("avx2")).is_file()


def test_every_level_of_cpus_has_its_library() -> None:
    names = {level: library.name for level, library in decoder_libraries().items()}
    assert names == {level: library_name(level) for level in LEVELS}
