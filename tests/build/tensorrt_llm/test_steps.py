"""A step counts as done with the inputs it was done with alone."""

from pathlib import Path

import pytest

from build.manifest import InputFile
from build.tensorrt_llm.steps import FILE_NAME, StepRecord

FILE = InputFile("/model/a", 3, 4, "5")


def test_done_steps_are_remembered(tmp_path: Path) -> None:
    record = StepRecord(tmp_path)
    record.note_files([FILE])
    record.note_done("engine", ["a", "b"])
    again = StepRecord(tmp_path)
    assert again.files == (FILE,)
    assert again.is_done("engine", ["a", "b"])
    assert not again.is_done("engine", ["ab"])
    assert not again.is_done("engine", ["b", "a"])
    assert not again.is_done("checkpoint", ["a", "b"])


def test_step_that_is_begun_anew_is_forgotten(tmp_path: Path) -> None:
    record = StepRecord(tmp_path)
    record.note_done("engine", ["a"])
    record.forget("engine")
    record.forget("engine")
    assert not StepRecord(tmp_path).is_done("engine", ["a"])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"files": [1], "steps": {}}', '{"files": [], "steps": []}']
)
def test_broken_record_counts_as_empty(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    record = StepRecord(tmp_path)
    assert record.files == ()
    record.note_done("engine", ["a"])
    assert StepRecord(tmp_path).is_done("engine", ["a"])
