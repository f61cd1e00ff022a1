"""The repository in which the replay engine stands, from the committed one."""

from pathlib import Path

import pytest

from build.repository import COMMITTED, read_config
from scripts.failure import Failure
from scripts.replay.check import words_of
from scripts.replay.options import ReplayOptions
from scripts.replay.repository import HONOURED_INPUTS, chosen_repository, render_replay
from tests.replay.tiny_vocabulary import WORDS_IN_ORDER, write_tiny_engine


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    render_replay(COMMITTED, tmp_path / "engine", tmp_path / "rendered", ReplayOptions(jitter="0.25"))
    return tmp_path / "rendered"


def test_every_input_is_honoured_or_declared_unsupported(rendered: Path) -> None:
    config = read_config(rendered / "tensorrt_llm" / "config.pbtxt")
    unsupported = set(config.parameters["unsupported_inputs"].string_value.split(","))
    assert {tensor.name for tensor in config.input} == unsupported | HONOURED_INPUTS
    assert not unsupported & HONOURED_INPUTS


def test_the_other_models_stay_as_they_are(rendered: Path, tmp_path: Path) -> None:
    for name in ("ensemble", "preprocess", "postprocess"):
        before, after = (read_config(folder / name / "config.pbtxt") for folder in (COMMITTED, rendered))
        if "engine_dir" in before.parameters:
            before.parameters["engine_dir"].string_value = str(tmp_path / "engine")
        assert before == after


def test_the_pace_and_the_window_are_parameters(rendered: Path) -> None:
    parameters = read_config(rendered / "tensorrt_llm" / "config.pbtxt").parameters
    assert parameters["jitter"].string_value == "0.25"
    assert parameters["max_model_len"].string_value == "8192"


def test_without_a_choice_the_engine_serves_itself(tmp_path: Path) -> None:
    assert chosen_repository(tmp_path, tmp_path / "models", {}) == tmp_path / "models"


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="ENGINE must be replay"):
        chosen_repository(tmp_path, tmp_path / "models", {"ENGINE": "gpu"})


def test_clients_know_the_words(tmp_path: Path) -> None:
    words = words_of(write_tiny_engine(tmp_path))
    assert words.is_unbroken(" " + " ".join(WORDS_IN_ORDER))
    assert not words.is_unbroken(f" {WORDS_IN_ORDER[0]} {WORDS_IN_ORDER[2]}")
