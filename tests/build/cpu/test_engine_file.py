from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from build.checkpoint.gguf import GgufCheckpoint
from build.cpu.engine_file import FILE_NAME, check_sizes, engine_bytes, write_engine_file
from build.errors import BuildError
from tests.build.tiny_llama import tiny_config, write_gguf


def checkpoint(folder: Path, **changes: Any) -> GgufCheckpoint:
    return GgufCheckpoint(write_gguf(folder / "tiny.gguf", tiny_config(**changes)))


@pytest.mark.parametrize("is_tied", [True, False])
def test_size_is_known_before(tmp_path: Path, is_tied: bool) -> None:
    tiny = checkpoint(tmp_path, tie_word_embeddings=is_tied)
    write_engine_file(tiny, tmp_path / FILE_NAME, lambda: None)
    size = (tmp_path / FILE_NAME).stat().st_size
    assert 0 < size - engine_bytes(tiny.config) < 1 << 13


def test_the_file_is_one_of_safetensors(tmp_path: Path) -> None:
    write_engine_file(checkpoint(tmp_path), tmp_path / FILE_NAME, lambda: None)
    tensors = load_file(tmp_path / FILE_NAME)
    assert tensors["layers.1.down"].shape == (4, 32, 64, 4)
    assert tensors["layers.1.down.scales"].shape == (4, 1, 64)
    assert {"frequencies", "embedding", "final_norm"} < tensors.keys()


def test_advances_by_layers(tmp_path: Path) -> None:
    layers: list[None] = []
    write_engine_file(checkpoint(tmp_path), tmp_path / FILE_NAME, lambda: layers.append(None))
    assert len(layers) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"intermediate_size": 96}, "intermediate size 96 must be a multiple of 64"),
        ({"num_attention_heads": 8}, "heads of 32 must be of 64"),
        ({"hidden_size": 320, "num_attention_heads": 1, "num_key_value_heads": 1}, "heads of 320 must be"),
        ({"hidden_size": 1600, "num_attention_heads": 25, "num_key_value_heads": 1}, "25 heads share 1"),
    ],
)
def test_sizes_that_cpu_decoder_lacks_are_one_sentence(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BuildError, match=reason):
        check_sizes(checkpoint(tmp_path, **changes).config)
