"""The repository in which the replay engine stands, from the committed one."""

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.errors import Failure
from build.repository import COMMITTED, read_config
from build.tensorrt_llm.config import TEMPLATE
from scripts.replay.check import words_of
from scripts.replay.options import LACKING_INPUTS, ReplayOptions
from scripts.replay.repository import chosen_repository, render_native_replay, render_replay
from tests.scripts.replay.tiny_vocabulary import WORDS_IN_ORDER, write_tiny_engine


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    render_replay(COMMITTED, tmp_path / "engine", tmp_path / "rendered", ReplayOptions(jitter="0.25"))
    return tmp_path / "rendered"


def test_tensors_and_capabilities_are_those_of_a_compiled_engine(rendered: Path) -> None:
    config = read_config(rendered / "tensorrt_llm" / "config.pbtxt")
    compiled = text_format.Parse(TEMPLATE.read_text("utf-8"), model_config_pb2.ModelConfig())
    inputs, outputs = ({tensor.name for tensor in tensors} for tensors in (compiled.input, compiled.output))
    assert inputs <= {tensor.name for tensor in config.input}
    assert outputs <= {tensor.name for tensor in config.output}
    unsupported = config.parameters["unsupported_inputs"].string_value.split(",")
    assert {"min_p", "beam_width", "return_generation_logits", "lora_task_id"} <= set(unsupported)
    assert config.backend == "engine_process"


def test_what_the_engine_was_built_for_is_supported(tmp_path: Path) -> None:
    options = ReplayOptions(gather_generation_logits="true", lora_adapters="alpha=3,beta=4")
    render_replay(COMMITTED, tmp_path / "engine", tmp_path / "rendered", options)
    parameters = read_config(tmp_path / "rendered" / "tensorrt_llm" / "config.pbtxt").parameters
    unsupported = parameters["unsupported_inputs"].string_value.split(",")
    assert not {"return_generation_logits", "lora_task_id"} & set(unsupported)
    assert parameters["lora_task_ids"].string_value == "3,4"
    ensemble = read_config(tmp_path / "rendered" / "ensemble" / "config.pbtxt").parameters
    assert ensemble["lora_adapters"].string_value == "alpha=3,beta=4"


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


def test_clients_know_the_words(tmp_path: Path) -> None:
    words = words_of(write_tiny_engine(tmp_path))
    assert words.is_unbroken(" " + " ".join(WORDS_IN_ORDER))
    assert not words.is_unbroken(f" {WORDS_IN_ORDER[0]} {WORDS_IN_ORDER[2]}")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_engine(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def native(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("native") / "model_repository"
    render_native_replay(COMMITTED, engine, target, ReplayOptions(tokens_per_second="50"))
    return target / "tensorrt_llm"


def test_nothing_of_the_other_engine_is_beside_the_native_one(native: Path) -> None:
    files = sorted(str(path.relative_to(native)) for path in native.rglob("*") if path.is_file())
    assert files == ["1/word_ids.bin", "config.pbtxt", "libtriton_replay.so"]


def test_the_native_engines_words_are_those_of_the_other_replay_engine(native: Path, engine: Path) -> None:
    assert np.fromfile(native / "1" / "word_ids.bin", "<i4").tolist() == words_of(engine).ids.tolist()


def test_what_the_native_engine_lacks_is_declared(native: Path) -> None:
    config = read_config(native / "config.pbtxt")
    unsupported = config.parameters["unsupported_inputs"].string_value.split(",")
    assert set(LACKING_INPUTS) < set(unsupported)
    assert {"lora_task_id", "return_generation_logits", "beam_width"} < set(unsupported)
    assert config.backend == "replay"
    assert config.parameters["tokens_per_second"].string_value == "50"


def test_an_option_that_the_native_engine_lacks_is_named(engine: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="SEQUENCE_COUNT_FILE is of ENGINE=replay alone"):
        render_native_replay(COMMITTED, engine, tmp_path / "x", ReplayOptions(sequence_count_file="count"))


def test_without_a_choice_the_engine_serves_itself(tmp_path: Path) -> None:
    assert chosen_repository(tmp_path, tmp_path / "models", {}) == tmp_path / "models"


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="ENGINE must be replay or native-replay"):
        chosen_repository(tmp_path, tmp_path / "models", {"ENGINE": "gpu"})
