"""Which engines cpu_decoder can compute."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from decoder.cpu_inference import read_model
from decoder.weights import UnsuitableEngine, read_decoder_weights

from build.checkpoint.safetensors import SafetensorsCheckpoint
from build.cpu.graph import LlamaGraph
from build.cpu.weights import PRECISIONS
from tests.build.tiny_llama import rope_frequencies, tiny_config, tiny_tensors, write_hugging_face

SUITABLE: dict[str, Any] = {
    "hidden_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 320,
}


def saved(folder: Path, config: dict[str, Any], precision: str) -> openvino.Model:
    write_hugging_face(folder, config)
    checkpoint = SafetensorsCheckpoint(folder / "config.json", [folder / "model.safetensors"])
    model = LlamaGraph(checkpoint, PRECISIONS[precision]).build(lambda: None)
    openvino.save_model(model, folder / "openvino_model.xml", False)
    return read_model(folder / "openvino_model.xml")


def test_sizes_and_numbers_are_the_checkpoints(tmp_path: Path) -> None:
    config = tiny_config(**SUITABLE)
    weights = read_decoder_weights(saved(tmp_path / "tiny", config, "int8"))
    assert (weights.head_size, weights.num_heads, weights.num_kv_heads, len(weights.layers)) == (64, 4, 2, 2)
    assert weights.norm_epsilon == pytest.approx(1e-5)
    np.testing.assert_allclose(weights.frequencies, rope_frequencies(config), rtol=1e-6)
    assert weights.head is weights.embedding
    norm = tiny_tensors(config)["model.layers.1.post_attention_layernorm.weight"]
    np.testing.assert_array_equal(weights.layers[1].attention_norm, norm)


def test_an_output_matrix_of_its_own_is_taken(tmp_path: Path) -> None:
    config = tiny_config(**SUITABLE, tie_word_embeddings=False)
    weights = read_decoder_weights(saved(tmp_path / "tiny", config, "int8"))
    assert weights.head is not weights.embedding


@pytest.mark.parametrize("precision", ["int4", "bf16", "f16"])
def test_weights_that_are_not_bytes_are_refused(tmp_path: Path, precision: str) -> None:
    with pytest.raises(UnsuitableEngine, match="is not of bytes"):
        read_decoder_weights(saved(tmp_path / "tiny", tiny_config(**SUITABLE), precision))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"intermediate_size": 96}, "gate_proj of 96 outputs"),
        ({"hidden_size": 480, "num_attention_heads": 5, "num_key_value_heads": 1}, "in groups of 32"),
        ({"vocab_size": 300}, "model.embed_tokens of 300 outputs"),
        ({"num_attention_heads": 8}, "heads of 32"),
        ({"hidden_size": 320, "num_attention_heads": 1, "num_key_value_heads": 1}, "heads of 320"),
        ({"hidden_size": 1600, "num_attention_heads": 25, "num_key_value_heads": 1}, "25 heads for 1 of"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsuitableEngine, match=reason):
        read_decoder_weights(saved(tmp_path / "tiny", tiny_config(**SUITABLE | changes), "int8"))


def test_an_engine_of_another_builder_is_refused() -> None:
    ids = openvino.opset13.parameter([-1], openvino.Type.i64)
    with pytest.raises(UnsuitableEngine, match=r"no model\.embed_tokens\.weight"):
        read_decoder_weights(openvino.Model([openvino.opset13.result(ids)], [ids]))
