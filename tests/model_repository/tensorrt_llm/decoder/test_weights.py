"""An engine's file as the decoder maps it, whole and damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from decoder.weights import FILE_NAME, FORMAT, DamagedEngine, read_decoder_weights, read_vocab_size

from build.checkpoint.safetensors import SafetensorsCheckpoint
from build.cpu import engine_file
from tests.build.tiny_llama import rope_frequencies, tiny_config, tiny_tensors, write_hugging_face


def written(folder: Path, config: dict[str, Any]) -> Path:
    write_hugging_face(folder, config)
    checkpoint = SafetensorsCheckpoint(folder / "config.json", [folder / "model.safetensors"])
    engine_file.write_engine_file(checkpoint, folder / FILE_NAME, lambda: None)
    return folder


def test_the_builder_writes_what_is_read() -> None:
    assert (engine_file.FILE_NAME, engine_file.FORMAT) == (FILE_NAME, FORMAT)


def test_sizes_and_numbers_are_the_checkpoints(tmp_path: Path) -> None:
    config = tiny_config()
    weights = read_decoder_weights(written(tmp_path / "tiny", config))
    assert (weights.head_size, weights.num_heads, weights.num_kv_heads, len(weights.layers)) == (64, 4, 2, 2)
    assert weights.norm_epsilon == 1e-5
    np.testing.assert_allclose(weights.frequencies, rope_frequencies(config), rtol=1e-6)
    assert weights.head is weights.embedding
    norm = tiny_tensors(config)["model.layers.1.post_attention_layernorm.weight"]
    np.testing.assert_array_equal(weights.layers[1].attention_norm, norm)


def test_an_output_matrix_of_its_own_is_taken(tmp_path: Path) -> None:
    weights = read_decoder_weights(written(tmp_path / "tiny", tiny_config(tie_word_embeddings=False)))
    assert weights.head is not weights.embedding


def test_outputs_are_whole_panels_of_which_the_vocabulary_is_a_part(tmp_path: Path) -> None:
    engine = written(tmp_path / "tiny", tiny_config())
    weights = read_decoder_weights(engine)
    assert (weights.vocab_size, weights.head.num_outputs) == (260, 320)
    assert read_vocab_size(engine) == 260


def test_vectors_begin_where_loads_want_them(tmp_path: Path) -> None:
    weights = read_decoder_weights(written(tmp_path / "tiny", tiny_config()))
    matrices = [weights.embedding, *(layer.down for layer in weights.layers)]
    assert {array.ctypes.data % 64 for it in matrices for array in (it.weights, it.scales)} == {0}


Header = dict[str, Any]


def lose(header: Header) -> None:
    del header["layers.1.up"]


def lose_facts(header: Header) -> None:
    del header["__metadata__"]


def other_format(header: Header) -> None:
    header["__metadata__"]["format"] = "cpu_decoder 0"


def point_behind_the_end(header: Header) -> None:
    offsets = header["layers.1.down"]["data_offsets"]
    offsets[:] = [offset + (1 << 20) for offset in offsets]


def point_before_the_start(header: Header) -> None:
    offsets = header["frequencies"]["data_offsets"]
    offsets[:] = [offset - 128 for offset in offsets]


def point_off_the_borders(header: Header) -> None:
    offsets = header["layers.1.down"]["data_offsets"]
    offsets[:] = [offset - 4 for offset in offsets]


def claim_more(header: Header) -> None:
    header["layers.0.gate"]["shape"][0] *= 2


def claim_another_type(header: Header) -> None:
    header["final_norm"]["dtype"] = "U8"


def claim_another_panel(header: Header) -> None:
    header["layers.0.gate"]["shape"] = [1, 128, 64, 4][::-1]


def claim_more_ids(header: Header) -> None:
    header["__metadata__"]["vocab_size"] = "321"


def swap_matrices(header: Header) -> None:
    for part in ("", ".scales"):
        header[f"layers.0.up{part}"] = header[f"layers.0.down{part}"]


def claim_no_layers(header: Header) -> None:
    header["__metadata__"]["num_layers"] = "0"


@pytest.mark.parametrize(
    "damage",
    [
        lose,
        lose_facts,
        other_format,
        point_behind_the_end,
        point_before_the_start,
        point_off_the_borders,
        claim_more,
        claim_another_type,
        claim_another_panel,
        claim_more_ids,
        swap_matrices,
        claim_no_layers,
    ],
)
def test_a_header_that_says_something_else_is_refused(
    tmp_path: Path, damage: Callable[[Header], None]
) -> None:
    engine = written(tmp_path / "tiny", tiny_config())
    content = (engine / FILE_NAME).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    damage(header)
    text = json.dumps(header).encode().ljust(length + 64)
    text = text[: len(text) - (len(text) + 8) % 64]
    (engine / FILE_NAME).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(DamagedEngine, match=FILE_NAME):
        read_decoder_weights(engine)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"\xff" * 100, (2).to_bytes(8, "little") + b"[]", b"\0" * 8]
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(DamagedEngine, match="is not what the builder writes"):
        read_decoder_weights(tmp_path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "tiny", tiny_config()) / FILE_NAME
    path.write_bytes(path.read_bytes()[:-64])
    with pytest.raises(DamagedEngine):
        read_decoder_weights(path.parent)
