"""What an engine is built for follows from what is asked for and what is here."""

from pathlib import Path

import pytest

from build.backend_choice import CPU, TENSORRT_LLM, choose_backend
from build.errors import BuildError
from build.gpus import Gpus, named_gpus
from tests.build.tensorrt_llm.llama_folder import write_llama
from tests.build.tiny_llama import LLAMA3_SCALING, tiny_config, write_hugging_face


def one_gpu() -> Gpus | None:
    return named_gpus("H100")


def no_gpu() -> Gpus | None:
    return None


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "llama")


@pytest.mark.parametrize(
    ("precision", "expected"),
    [(None, TENSORRT_LLM), ("bf16", TENSORRT_LLM), ("fp8", TENSORRT_LLM), ("int8", CPU), ("f16", CPU)],
)
def test_llama_where_a_gpu_is(precision: str | None, expected: str, llama: Path) -> None:
    assert choose_backend(None, llama, precision, False, one_gpu) == expected


@pytest.mark.parametrize(
    ("precision", "gpu_options", "expected"),
    [
        (None, False, CPU),
        ("bf16", False, CPU),
        # Asked for what is on GPUs alone: the preflight tells that there is none.
        ("fp8", False, TENSORRT_LLM),
        (None, True, TENSORRT_LLM),
    ],
)
def test_llama_where_no_gpu_is(precision: str | None, gpu_options: bool, expected: str, llama: Path) -> None:
    assert choose_backend(None, llama, precision, gpu_options, no_gpu) == expected


@pytest.mark.parametrize("backend", [CPU, TENSORRT_LLM])
def test_what_is_asked_for_is_done(backend: str, llama: Path) -> None:
    assert choose_backend(backend, llama, "bf16", False, one_gpu) == backend


def test_other_models_are_for_the_cpu(tmp_path: Path) -> None:
    tiny = write_hugging_face(tmp_path / "tiny", tiny_config(rope_scaling=LLAMA3_SCALING))
    llama_3_0 = write_llama(tmp_path / "llama-3", rope_scaling=None)
    broken = tmp_path / "broken"
    broken.mkdir()
    for model in (None, tmp_path / "absent.gguf", tiny, llama_3_0, broken):
        assert choose_backend(None, model, None, False, one_gpu) == CPU


@pytest.mark.parametrize(
    ("backend", "gpu_options", "model", "named"),
    [
        (CPU, True, Path("m"), "BACKEND=cpu has no recipes"),
        (TENSORRT_LLM, False, None, "MODEL: TensorRT-LLM needs"),
        (None, True, None, "MODEL: TensorRT-LLM needs"),
    ],
)
def test_contradictions_are_refused(
    backend: str | None, gpu_options: bool, model: Path | None, named: str
) -> None:
    with pytest.raises(BuildError, match=named):
        choose_backend(backend, model, None, gpu_options, one_gpu)
