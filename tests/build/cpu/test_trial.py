"""What tritonserver could not load or answer with is found before an engine is called ready."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import load_engine
from rich.console import Console
from safetensors.numpy import load_file, save_file

from build.build_engine import Order, build_engine
from build.cpu.engine import try_engine
from build.errors import BuildError
from build.progress import Reporter
from build.repository import CONFIG, read_config, write_config
from tests.build.tiny_llama import tiny_config, write_hugging_face
from tests.model_repository.tensorrt_llm.asking import tensors
from tests.model_repository.tensorrt_llm.fake_sender import FakeSender

QUIET = Reporter(Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    model = write_hugging_face(root / "Model", tiny_config())
    return build_engine(Order(model, "tiny", None, "int8", root / "engines"), QUIET)


def set_parameter(model: str, name: str, value: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "model_repository" / model / CONFIG
        config = read_config(path)
        config.parameters[name].string_value = value
        write_config(config, path)

    return change


def lose_weights(folder: Path) -> None:
    (folder / "engine" / "openvino_model.bin").write_bytes(b"")


def lose_special_tokens(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text("utf-8").replace('"special": true', '"special": false'))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (set_parameter("preprocess", "end_id", "900"), "end_id or stop_ids has 900"),
        (set_parameter("postprocess", "special_ids", ""), "special_ids must be ids and ranges"),
        (set_parameter("tensorrt_llm", "max_tokens_in_paged_kv_cache", "64"), "must be max_model_len"),
        (lose_weights, "can't be opened"),
        (lose_special_tokens, "special_ids does not fit"),
    ],
)
def test_what_can_not_be_served_is_told_in_a_sentence(
    built: Path, tmp_path: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "tiny"))
    damage(folder)
    with pytest.raises(BuildError, match=f"The new engine does not run: .*{sentence}"):
        try_engine(folder, QUIET)


def test_an_engine_with_room_for_one_long_text_is_served(tmp_path: Path) -> None:
    model = write_hugging_face(tmp_path / "Model", tiny_config(max_position_embeddings=262144))
    build_engine(Order(model, "tiny", None, "int8", tmp_path / "engines"), QUIET)


def test_a_vocabulary_that_is_filled_up_is_served(tmp_path: Path) -> None:
    """By the rows behind the tokenizer's, where a model of random weights would often go."""
    model = write_hugging_face(tmp_path / "Model", tiny_config(vocab_size=1024))
    folder = build_engine(Order(model, "tiny", None, "int8", tmp_path / "engines"), QUIET)
    config = read_config(folder / "model_repository" / "tensorrt_llm" / CONFIG)
    assert config.parameters["vocab_size"].string_value == "260"
    parameters = {name: {"string_value": value.string_value} for name, value in config.parameters.items()}
    engine = load_engine({"parameters": parameters}, str(folder / "model_repository" / "tensorrt_llm"))
    bias = np.zeros((1, 1024), np.float32)
    bias[0, 7] = 1000
    guide = {"guided_decoding_guide_type": b"regex", "guided_decoding_guide": b"[a-z]{8}"}
    wanted: list[tuple[dict[str, Any], range]] = [
        ({"embedding_bias": bias}, range(7, 8)),
        (guide, range(100, 126)),
        ({}, range(260)),
    ]
    for asked, ids in wanted:
        sender = FakeSender()
        engine.accept("a", tensors(exclude_input_in_output=True, repetition_penalty=1.1, **asked), sender)
        sender.wait()
        assert sender.refusal is None
        assert {*ids}.issuperset(sender.ids)
        assert len(sender.ids) == 8
    engine.close()


def test_logits_that_are_no_numbers_are_found(tmp_path: Path) -> None:
    """Weights that are finite, and yet overflow."""
    model = write_hugging_face(tmp_path / "Model", tiny_config(), np.float32)
    tensors = load_file(model / "model.safetensors")
    tensors["model.norm.weight"] = np.full(64, 3e38, np.float32)
    save_file(tensors, model / "model.safetensors")
    with pytest.raises(BuildError, match="its tokens have the log-probabilities"):
        build_engine(Order(model, "tiny", None, "int8", tmp_path / "engines"), QUIET)
