"""GGUF files: tensors in the right layout, and a sentence for what isn't a Llama."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from build.checkpoint.gguf import GgufCheckpoint
from build.errors import BuildError
from tests.build.tiny_llama import LLAMA3_SCALING, rope_frequencies, tiny_config, tiny_tensors, write_gguf


@pytest.mark.parametrize("is_tied", [True, False])
def test_tensors_are_those_of_the_hugging_face_layout(is_tied: bool, tmp_path: Path) -> None:
    config = tiny_config(tie_word_embeddings=is_tied)
    checkpoint = GgufCheckpoint(write_gguf(tmp_path / "m.gguf", config))
    assert checkpoint.config.is_tied == is_tied
    for name, tensor in tiny_tensors(config).items():
        np.testing.assert_array_equal(checkpoint.tensor(name), tensor, err_msg=name)


def test_sizes_are_read(tmp_path: Path) -> None:
    found = GgufCheckpoint(write_gguf(tmp_path / "m.gguf", tiny_config())).config
    assert (found.num_layers, found.num_heads, found.num_kv_heads, found.head_size) == (2, 4, 2, 16)
    assert (found.vocab_size, found.max_model_len) == (260, 512)


@pytest.mark.parametrize(
    ("config", "fields", "expected"),
    [
        (tiny_config(rope_scaling=LLAMA3_SCALING), {}, tiny_config(rope_scaling=LLAMA3_SCALING)),
        (
            tiny_config(),
            {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0},
            tiny_config(rope_scaling={"rope_type": "linear", "factor": 4.0}),
        ),
        # llama.cpp's load_hparams: linear is the default, scale_linear the older name, and 0 no factor.
        (
            tiny_config(),
            {"llama.rope.scaling.factor": 4.0},
            tiny_config(rope_scaling={"rope_type": "linear", "factor": 4.0}),
        ),
        (
            tiny_config(),
            {"llama.rope.scale_linear": 4.0},
            tiny_config(rope_scaling={"rope_type": "linear", "factor": 4.0}),
        ),
        (
            tiny_config(),
            {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0},
            tiny_config(),
        ),
        (tiny_config(), {"llama.rope.scaling.factor": 0.0}, tiny_config()),
    ],
)
def test_scaled_rotation_is_read(
    config: dict[str, Any], fields: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    checkpoint = GgufCheckpoint(write_gguf(tmp_path / "m.gguf", config, fields))
    np.testing.assert_allclose(checkpoint.config.rope_frequencies, rope_frequencies(expected), rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"general.architecture": "qwen2"}, "has architecture 'qwen2'; only 'llama' is supported"),
        ({"llama.expert_count": 8}, "llama.expert_count is 8, only 0 is supported"),
        ({"llama.attention.scale": 0.5}, "llama.attention.scale is 0.5"),
        ({"llama.rope.scaling.attn_factor": 2.0}, "attn_factor is 2.0"),
        ({"split.count": 2}, "is one part of a split GGUF"),
        ({"llama.rope.dimension_count": 8}, "rotates 8 of 16 dimensions"),
        ({"llama.rope.scaling.type": "yarn"}, "by 'yarn', which is not supported"),
        ({"llama.block_count": 3}, "lacks the tensor model.layers.2"),
        ({"llama.block_count": 1}, "a tensor that a Llama has not: blk.1"),
        ({"llama.block_count": 0}, "num_layers must be above 0"),
        ({"llama.attention.key_length": 15}, "head size must be even and 4096 at most, not 15"),
        ({"llama.embedding_length": 1 << 31}, "head size must be even and 4096 at most"),
        ({"llama.block_count": 1 << 31}, "num_layers must be 1000 at most"),
        ({"llama.context_length": 1 << 31}, "max_model_len must be 16777216 at most"),
        ({"llama.feed_forward_length": 100}, r"gate_proj.weight has shape \(96, 64\), expected \(100, 64\)"),
        ({"llama.attention.head_count_kv": 3}, "4 heads can't share 3 key/value heads"),
        ({"llama.attention.head_count": 0}, "is no multiple of its 0 heads"),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "must be finite"),
        ({"llama.context_length": "long"}, "has a field of the wrong type"),
    ],
)
def test_what_is_no_llama_is_refused(fields: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tiny_config(), fields)
    with pytest.raises(BuildError, match=sentence):
        GgufCheckpoint(path)


def test_missing_field_is_named(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(BuildError, match=r"lacks the field llama\.attention\.head_count"):
        GgufCheckpoint(tmp_path / "m.gguf")


def test_big_endian_file_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tiny_config(), endianess=gguf.GGUFEndian.BIG)
    with pytest.raises(BuildError, match=r"is big-endian; turn it first: .*gguf-convert-endian .* little"):
        GgufCheckpoint(path)


def test_a_weight_that_is_no_number_is_told(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tiny_config())
    weights = gguf.GGUFReader(path, "r+")
    weights.get_tensor(0).data[3, 4] = np.inf
    weights.data.flush()
    checkpoint = GgufCheckpoint(path)
    with pytest.raises(BuildError, match=r"embed_tokens.weight has values that are no finite numbers"):
        checkpoint.tensor("model.embed_tokens.weight")


@pytest.mark.parametrize("keep", [4, 40, 3000, -40000])
def test_cut_file_is_refused(keep: int, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", tiny_config())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BuildError, match="is damaged or not a GGUF file"):
        GgufCheckpoint(path)
