"""The command line: one sentence and a status for whatever goes wrong."""

import errno
from pathlib import Path

import pytest

from build.__main__ import exit_status, main
from build.errors import BuildError


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
