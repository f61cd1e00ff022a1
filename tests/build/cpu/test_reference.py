"""What engines are held against is a Llama, as the tests' own arithmetic in double precision says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build.checkpoint.checkpoint import Checkpoint
from build.checkpoint.gguf import GgufCheckpoint
from build.checkpoint.safetensors import SafetensorsCheckpoint
from build.cpu.reference import reference_logits
from tests.build import tiny_llama
from tests.build.tiny_llama import LLAMA3_SCALING, tiny_config, tiny_tensors, write_gguf, write_hugging_face

IDS = [1, 40, 77, 200, 9, 3, 120, 55, 241, 18, 66, 91]
LINEAR = {"rope_type": "linear", "factor": 4.0}


def from_folder(tmp_path: Path, config: dict[str, Any]) -> Checkpoint:
    folder = write_hugging_face(tmp_path / "tiny", config)
    return SafetensorsCheckpoint(folder / "config.json", [folder / "model.safetensors"])


def from_gguf(tmp_path: Path, config: dict[str, Any]) -> Checkpoint:
    return GgufCheckpoint(write_gguf(tmp_path / "tiny.gguf", config))


@pytest.mark.parametrize("read", [from_folder, from_gguf])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"rope_scaling": LLAMA3_SCALING}, id="tied-llama3"),
        pytest.param({"tie_word_embeddings": False}, id="untied"),
        pytest.param({"num_key_value_heads": 4, "rope_scaling": LINEAR}, id="ungrouped-linear"),
        pytest.param({"num_key_value_heads": 1}, id="one-key-head"),
    ],
)
def test_logits_are_those_of_the_reference(
    read: Callable[[Path, dict[str, Any]], Checkpoint], changes: dict[str, Any], tmp_path: Path
) -> None:
    config = tiny_config(**changes)
    expected = tiny_llama.reference_logits(config, tiny_tensors(config), IDS)
    np.testing.assert_allclose(reference_logits(read(tmp_path, config), IDS), expected, atol=1e-3)
