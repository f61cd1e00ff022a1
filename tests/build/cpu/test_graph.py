"""The graph computes what a Llama computes, plain and as paged attention."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai
import pytest
from numpy.typing import NDArray

from build.checkpoint.checkpoint import Checkpoint
from build.checkpoint.gguf import GgufCheckpoint
from build.checkpoint.safetensors import SafetensorsCheckpoint
from build.cpu.graph import LlamaGraph
from build.cpu.weights import PRECISIONS
from tests.build.tiny_llama import (
    LLAMA3_SCALING,
    reference_logits,
    tiny_config,
    tiny_tensors,
    write_gguf,
    write_hugging_face,
)

IDS = [1, 40, 77, 200, 9, 3, 120, 55, 241, 18, 66, 91]
LINEAR = {"rope_type": "linear", "factor": 4.0}
# Exact arithmetic, so that only the graph is compared.
EXACT = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    "KV_CACHE_PRECISION": "f32",
}


def from_folder(tmp_path: Path, config: dict[str, Any]) -> Checkpoint:
    folder = write_hugging_face(tmp_path / "tiny", config)
    return SafetensorsCheckpoint(folder / "config.json", [folder / "model.safetensors"])


def from_gguf(tmp_path: Path, config: dict[str, Any]) -> Checkpoint:
    return GgufCheckpoint(write_gguf(tmp_path / "tiny.gguf", config))


def model_of(checkpoint: Checkpoint, precision: str = "f16") -> ov.Model:
    return LlamaGraph(checkpoint, PRECISIONS[precision]).build(lambda: None)


def infer(request: ov.InferRequest, ids: list[int], past: int = 0) -> NDArray[np.float32]:
    """Logits [tokens, vocabulary] of ids that follow `past` earlier tokens."""
    outputs = request.infer(
        {
            "input_ids": np.array([ids]),
            "attention_mask": np.ones((1, past + len(ids)), dtype=np.int64),
            "position_ids": np.arange(past, past + len(ids))[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
    )
    return np.array(outputs["logits"][0])


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
    request = ov.Core().compile_model(model_of(read(tmp_path, config)), "CPU", EXACT).create_infer_request()
    expected = reference_logits(config, tiny_tensors(config), IDS)
    np.testing.assert_allclose(infer(request, IDS), expected, atol=1e-3)


def test_state_continues_a_text(tmp_path: Path) -> None:
    model = model_of(from_folder(tmp_path, tiny_config()))
    request = ov.Core().compile_model(model, "CPU", EXACT).create_infer_request()
    whole = infer(request, IDS)
    request.reset_state()
    parts = [infer(request, IDS[:5]), infer(request, IDS[5:6], past=5), infer(request, IDS[6:], past=6)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)


def test_paged_attention_chooses_the_tokens_of_the_reference(tmp_path: Path) -> None:
    config = tiny_config(rope_scaling=LLAMA3_SCALING)
    ov.save_model(model_of(from_folder(tmp_path, config)), tmp_path / "openvino_model.xml", False)
    tensors, expected = tiny_tensors(config), list(IDS)
    for _ in range(24):
        expected.append(int(reference_logits(config, tensors, expected)[-1].argmax()))
    assert paged_tokens(tmp_path, IDS, 24) == expected[len(IDS) :]


def paged_tokens(folder: Path, prompt: list[int], count: int) -> list[int]:
    scheduler = genai.SchedulerConfig()
    scheduler.num_kv_blocks = 16
    pipeline = genai.ContinuousBatchingPipeline(str(folder), scheduler, "CPU", EXACT, {})
    options = genai.GenerationConfig()
    options.max_new_tokens = count
    options.set_eos_token_id(0)
    options.ignore_eos = True
    handle = pipeline.add_request(0, ov.Tensor(np.array([prompt])), options)
    tokens: list[int] = []
    while pipeline.has_non_finished_requests():
        pipeline.step()
        while handle.can_read():
            tokens += handle.read()[0].generated_ids
    return tokens


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_stays_near_the_reference(precision: str, tmp_path: Path) -> None:
    config = tiny_config()
    model = model_of(from_folder(tmp_path, config), precision)
    request = ov.Core().compile_model(model, "CPU", EXACT).create_infer_request()
    expected = reference_logits(config, tiny_tensors(config), IDS)
    error = np.abs(infer(request, IDS) - expected).mean() / np.abs(expected).mean()
    assert error < {"int8": 0.05, "int4": 0.5, "bf16": 1e-3, "f16": 1e-3}[precision]
