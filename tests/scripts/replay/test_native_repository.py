"""The repository in which the native replay engine stands."""

from pathlib import Path

import numpy as np
import pytest

from build.errors import Failure
from build.repository import COMMITTED, read_config
from scripts.replay.check import words_of
from scripts.replay.native_repository import LACKING_INPUTS, render_native_replay
from scripts.replay.options import ReplayOptions
from tests.scripts.replay.tiny_vocabulary import write_tiny_engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_engine(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def rendered(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("rendered") / "model_repository"
    render_native_replay(COMMITTED, engine, target, ReplayOptions(tokens_per_second="50"))
    return target / "tensorrt_llm"


def test_nothing_of_the_other_engine_is_left(rendered: Path) -> None:
    files = sorted(str(path.relative_to(rendered)) for path in rendered.rglob("*") if path.is_file())
    assert files == ["1/word_ids.bin", "config.pbtxt", "libtriton_replay.so"]


def test_its_words_are_those_of_the_other_replay_engine(rendered: Path, engine: Path) -> None:
    assert np.fromfile(rendered / "1" / "word_ids.bin", "<i4").tolist() == words_of(engine).ids.tolist()


def test_what_it_lacks_is_declared(rendered: Path) -> None:
    config = read_config(rendered / "config.pbtxt")
    unsupported = config.parameters["unsupported_inputs"].string_value.split(",")
    assert set(LACKING_INPUTS) < set(unsupported)
    assert {"lora_task_id", "return_generation_logits", "beam_width"} < set(unsupported)
    assert config.backend == "replay"
    assert config.parameters["tokens_per_second"].string_value == "50"


def test_an_option_that_it_lacks_is_named(engine: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="SEQUENCE_COUNT_FILE is of ENGINE=replay alone"):
        render_native_replay(COMMITTED, engine, tmp_path / "x", ReplayOptions(sequence_count_file="count"))
