"""What `make plan` prints, and what it refuses."""

import json
from pathlib import Path

import pytest

from build.gpus import GPUS, Gpus
from build.plan.__main__ import main
from tests.build.checkpoint.test_shapes import CONFIG


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def test_a_plan_names_sizes_arithmetic_and_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "70b", "--precision", "fp8", "--gpus", "8xH100", "--context", "8192"]) == 0
    text = capsys.readouterr().out
    assert "70.6 billion = 72.7 GB" in text
    assert "2 x 80 layers x 8 heads x 128 x 1 byte(s) = 160 KiB a token, 1.3 GB a sequence" in text
    assert "recommended: TP=2 PP=1 max_seq_len=8192" in text
    assert "make build-engines MODEL=FOLDER PRECISION=fp8 TP=2 PP=1 MAX_SEQ_LEN=8192" in text
    assert "4 copies fit" in text


def test_this_machines_gpus_and_a_folders_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert main(["--model", str(tmp_path)], lambda: Gpus(GPUS["L40S"], 2, 1)) == 0
    text = capsys.readouterr().out
    assert "in fp8, sequences of 8,192 tokens, on 2x L40S" in text
    assert f"make build-engines MODEL={tmp_path} PRECISION=fp8 TP=1" in text


def test_what_does_not_fit_is_told_with_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "405b", "--precision", "bf16", "--gpus", "8xH100"]) == 1
    text = capsys.readouterr().out
    assert "does not fit 8x H100; what would:" in text
    assert "PRECISION=fp8-rowwise on the same GPUs" in text
    assert "2 nodes of 8x H100: TP=8 PP=2" in text


def test_a_shorter_context_that_would_fit_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "70b", "--precision", "fp8", "--gpus", "1xH100", "--context", "131072"]) == 1
    assert "CONTEXT=32768 on the same GPUs" in capsys.readouterr().out


def test_missing_nvlink_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "70b", "--precision", "fp8", "--gpus", "8xL40S"]) == 0
    assert "L40S has no NVLink" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--gpus", "8xA100", "--precision", "fp8"], "PRECISION: fp8 needs compute capability 8.9 or newer"),
        (
            ["--gpus", "1xB200", "--precision", "fp8-rowwise"],
            "needs compute capability 9.0, and B200 has 10.0",
        ),
        (["--gpus", "8xH100", "--precision", "fp4"], "PRECISION: 'fp4' is none of bf16, fp8"),
        (["--gpus", "8xT4"], "GPUS: '8xT4' is not like 8xH100"),
        (["--gpus", "8xH100", "--model", "7b"], "MODEL: 7b is none of 8b, 70b, 405b"),
        (["--gpus", "8xH100", "--context", "0"], "CONTEXT: '0' is not a whole number above 0"),
        (["--gpus", "8xH100", "--context", "131073"], "CONTEXT: 131073 is longer than Llama 3.1 8B's 131072"),
        (["--gpus", "8xH100", "--concurrency", "many"], "CONCURRENCY: 'many' is not a whole number"),
        ([], "nvidia-smi finds no GPU here; name those to plan for, as in GPUS=8xH100"),
    ],
)
def test_a_wrong_question_is_told(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments, lambda: None) == 2
    output = capsys.readouterr()
    assert complaint in output.err
    assert not output.out
