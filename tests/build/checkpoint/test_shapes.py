"""Sizes of the published models, and of any Llama by its config.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from build.checkpoint.shapes import LLAMA_3_1, find_shape
from build.errors import BuildError

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize(("name", "billions"), [("8b", 8.03), ("70B", 70.55), ("405b", 405.85)])
def test_published_numbers_of_weights(name: str, billions: float) -> None:
    """As the models' pages on Hugging Face count them (8.03, 70.6 and 406 billion), norms left out."""
    assert find_shape(name).num_weights == pytest.approx(billions * 1e9, rel=1e-3)


def test_config_json_gives_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "Llama 3.1 8B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    assert find_shape(str(folder)) == find_shape(str(folder / "config.json")) == LLAMA_3_1["8b"]


def test_what_config_json_may_leave_out(tmp_path: Path) -> None:
    config = {name: value for name, value in CONFIG.items() if name != "num_key_value_heads"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"head_dim": 64, "tie_word_embeddings": True}))
    shape = find_shape(str(tmp_path))
    assert (shape.num_kv_heads, shape.head_size, shape.is_tied) == (32, 64, True)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (CONFIG | {"model_type": "qwen2"}, "is of a qwen2, not of a Llama"),
        ({"model_type": "llama"}, "num_attention_heads"),
        (CONFIG | {"num_attention_heads": 0}, "ZeroDivisionError"),
        (CONFIG | {"vocab_size": None}, "is no config.json of a Llama"),
        ([], "is no config.json of a Llama"),
    ],
)
def test_config_of_something_else_is_an_error(tmp_path: Path, config: Any, complaint: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BuildError, match=f"^MODEL: .*{complaint}"):
        find_shape(str(tmp_path))


def test_unknown_model_is_an_error() -> None:
    with pytest.raises(BuildError, match=r"^MODEL: 7b is none of 8b, 70b, 405b, and no folder"):
        find_shape("7b")
