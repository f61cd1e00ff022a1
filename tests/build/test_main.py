"""The command line: one sentence and a status for whatever goes wrong."""

import errno
import re
from pathlib import Path

import pytest

from build.__main__ import exit_status, main
from build.errors import BuildError
from tests.build.tensorrt_llm.llama_folder import write_llama


def test_bad_model_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(tmp_path / "absent"), "--engines-dir", str(tmp_path)]) == 1
    assert (
        capsys.readouterr().err.split()
        == f"error: MODEL: there is no file or folder {tmp_path}/absent.".split()
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--precision", "fp3"], ["--unknown"]])
def test_bad_argument_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (BuildError("The model is odd."), 1, "The model is odd."),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "The disk is full; no engine was changed."),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded", "/x"),
            1,
            "/x: The disk is full; no engine was changed.",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "/x: Permission denied."),
        (KeyboardInterrupt(), 130, "The build was interrupted; no engine was changed."),
        (KeyboardInterrupt(15), 143, "The build was interrupted; no engine was changed."),
    ],
)
def test_errors_become_sentences(error: BaseException, status: int, sentence: str) -> None:
    def fail() -> None:
        raise error

    said: list[str] = []
    assert exit_status(fail, said.append) == status
    assert said == [f"error: {sentence}"]


def test_absent_model_of_hugging_face_is_told_how_to_download(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = "meta-llama/Llama-3.1-8B-Instruct"
    assert main(["--model", model, "--engines-dir", str(tmp_path)]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"hf download {model} --local-dir ~/models/Llama-3.1-8B-Instruct" in told


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--precision", "fp8"], "MODEL: TensorRT-LLM needs"),
        (["--tp", "2"], "MODEL: TensorRT-LLM needs"),
        (["--backend", "cpu", "--precision", "fp8"], "PRECISION: the CPU engine has no fp8; choose int8"),
        (["--backend", "cpu", "--recipe", "llama-3.1-8b-fp8"], "BACKEND=cpu has no recipes"),
        (["--model", "model", "--config", "max_queue_size"], "CONFIG: 'max_queue_size' is not of the form"),
        (["--model", "model", "--recipe", "x"], "RECIPE: there is none named 'x'"),
        (["--model", "model", "--tp", "two"], "--tp_size of convert_checkpoint must be of type int"),
        (
            ["--model", "model", "--recipe", "llama-3.1-8b-fp8", "--precision", "bf16"],
            "is fp8, PRECISION=bf16",
        ),
        (["--model", "model", "--backend", "tensorrt_llm", "--precision", "int4"], "no recipe .* in int4"),
        (["--model", "model", "--lora", "sql"], "LORA: 'sql' is not of the form name=folder"),
    ],
)
def test_odd_wishes_are_one_sentence(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(write_llama(tmp_path / "model"))
    arguments = [model if word == "model" else word for word in arguments]
    assert main([*arguments, "--engines-dir", str(tmp_path / "engines")]) == 1
    assert re.search(named, " ".join(capsys.readouterr().err.split()))


def test_options_reach_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seen by what the preflight tells of each."""
    model = str(write_llama(tmp_path / "model"))
    options = ["--tp", "3", "--pp", "40", "--max-seq-len", "200000", "--max-batch-size", "4"]
    assert main(["--model", model, "--engines-dir", str(tmp_path / "engines"), *options]) == 1
    told = capsys.readouterr().err
    for part in ("max_seq_len is 200000", "TP=3 does not divide", "PP=40 is more than"):
        assert part in " ".join(told.split())
