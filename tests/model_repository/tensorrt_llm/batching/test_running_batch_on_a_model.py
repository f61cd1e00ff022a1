"""A batch on a tiny model with random weights, against arithmetic in numpy."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from batching.kv_blocks import BLOCK_TOKENS
from batching.running_batch import RunningBatch, open_batch
from batching.step_scheduler import StepScheduler
from contract.sampling import Sampling
from decoder import paged_model
from decoder.cpu_inference import EXACT, FAST, Properties
from decoder.paged_model import PagedModel, _layer_properties
from numpy.typing import NDArray
from openvino import opset13 as ops
from sampling.logit_edits import Bias, MinLength
from sampling.token_chooser import TokenChooser

from build.checkpoint.safetensors import SafetensorsCheckpoint
from build.cpu.graph import LlamaGraph
from build.cpu.weights import PRECISIONS
from tests.build.tiny_llama import reference_logits, tiny_config, tiny_tensors, write_hugging_face
from tests.model_repository.tensorrt_llm.asking import sequence
from tests.model_repository.tensorrt_llm.fake_sender import FakeSender

CONFIG = tiny_config()
# Bytes in the KV cache are too coarse to be compared with the reference.
COMPARABLE = {**EXACT, "KV_CACHE_PRECISION": "f32"}
TOLERANCE = 2e-3
VOCAB_SIZE = CONFIG["vocab_size"]
LONG_PROMPT = np.random.default_rng(5).integers(0, CONFIG["vocab_size"], 150).tolist()


def write_engine(folder: Path, precision: str, feed_forward_width: int) -> Path:
    write_hugging_face(folder, CONFIG | {"intermediate_size": feed_forward_width})
    checkpoint = SafetensorsCheckpoint(folder / "config.json", [folder / "model.safetensors"])
    model = LlamaGraph(checkpoint, PRECISIONS[precision]).build(lambda: None)
    openvino.save_model(model, folder / "openvino_model.xml", False)
    return folder


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_engine(tmp_path_factory.mktemp("tiny") / "f16", "f16", CONFIG["intermediate_size"])


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With weights in bytes, which OpenVINO multiplies by bytes when there are several rows."""
    return write_engine(tmp_path_factory.mktemp("tiny") / "int8", "int8", 128)


def open_exact(engine: Path, max_kv_tokens: int = 1024, max_num_tokens: int = 512) -> RunningBatch:
    num_blocks = max_kv_tokens // BLOCK_TOKENS
    model = PagedModel(engine, num_blocks, COMPARABLE)
    scheduler = StepScheduler(num_blocks, max_num_tokens, max_draft_len=5)
    return RunningBatch(model, scheduler, TokenChooser(model.vocab_size), 64, model.vocab_size)


@pytest.fixture(scope="module")
def batch(engine: Path) -> RunningBatch:
    return open_exact(engine)


class Text:
    """One that is written; the fields are those of GenerationRequest."""

    def __init__(self, batch: RunningBatch, prompt: list[int], count: int, **fields: Any) -> None:
        self.sender = FakeSender()
        self.sequence = sequence(prompt, count, sender=self.sender, **fields)
        batch.start(self.sequence)

    @property
    def ids(self) -> list[int]:
        """The prompt's too, but none that was drafted beyond the end."""
        return [*self.sequence.request.prompt_ids, *self.sender.ids]

    @property
    def log_probs(self) -> Any:
        return self.sender.responses[-1].tensors["output_log_probs"].ravel()


def run(batch: RunningBatch) -> int:
    """The number of steps until all is written."""
    num_steps = 0
    while batch.has_work:
        batch.step()
        num_steps += 1
    return num_steps


def write(batch: RunningBatch, prompts: list[list[int]], count: int, **fields: Any) -> list[Text]:
    texts = [Text(batch, prompt, count, returns_log_probs=True, **fields) for prompt in prompts]
    run(batch)
    return texts


def reference_log_probs(ids: list[int]) -> NDArray[np.float32]:
    """Of every id but the first."""
    logits = reference_logits(CONFIG, tiny_tensors(CONFIG), ids)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.asarray(log_probs[np.arange(len(ids) - 1), ids[1:]])


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=0, top_p=0.9, seed=2)])
def test_log_probs_are_those_of_the_reference(sampling: Sampling, batch: RunningBatch) -> None:
    prompts = [LONG_PROMPT[:length] for length in (1, 3, 31, 32, 33, 150)]
    for prompt, text in zip(prompts, write(batch, prompts, 20, sampling=sampling), strict=True):
        expected = reference_log_probs(text.ids)[len(prompt) - 1 :]
        np.testing.assert_allclose(text.log_probs, expected, atol=TOLERANCE)


def test_greedy_writes_what_is_most_probable(batch: RunningBatch) -> None:
    (text,) = write(batch, [LONG_PROMPT[:10]], 20)
    logits = reference_logits(CONFIG, tiny_tensors(CONFIG), text.ids)[9:-1]
    chosen = logits[np.arange(20), text.ids[10:]]
    np.testing.assert_allclose(chosen, logits.max(1), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("max_kv_tokens", "max_num_tokens"),
    [pytest.param(1024, 7, id="prompts-in-pieces"), pytest.param(224, 512, id="displaced-in-between")],
)
def test_memory_and_step_size_change_nothing(engine: Path, max_kv_tokens: int, max_num_tokens: int) -> None:
    batch = open_exact(engine, max_kv_tokens, max_num_tokens)
    prompts = [LONG_PROMPT[start : start + 60] for start in (0, 50, 90)]
    for text in write(batch, prompts, 40, num_prompt_log_probs=0):
        scores = [score.log_prob for score in text.sequence.prompt_scores]
        expected = reference_log_probs(text.ids[:60])
        np.testing.assert_allclose(scores, expected, atol=TOLERANCE)


def test_a_known_prefix_changes_nothing(engine: Path) -> None:
    batch = open_exact(engine)
    (first,) = write(batch, [LONG_PROMPT], 20)
    (second,) = write(batch, [first.ids[:160]], 20)
    reused = [text.sequence.generation.num_reused_blocks for text in (first, second)]
    assert reused == [0, 128 // BLOCK_TOKENS]
    expected = reference_log_probs(second.ids)[159:]
    np.testing.assert_allclose(second.log_probs, expected, atol=TOLERANCE)


def test_prompt_scores_are_those_of_the_reference(batch: RunningBatch) -> None:
    (text,) = write(batch, [LONG_PROMPT], 2, num_prompt_log_probs=3)
    expected = reference_log_probs(LONG_PROMPT)
    scores = text.sequence.prompt_scores
    np.testing.assert_allclose([score.log_prob for score in scores], expected, atol=TOLERANCE)
    assert {len(score.top) for score in scores} == {3}


def test_edits_rule_what_is_written(batch: RunningBatch) -> None:
    (text,) = write(batch, [LONG_PROMPT[:10]], 8, edits=[Bias({9: 1000.0}), MinLength([9], 5)])
    assert 9 not in text.ids[10:15]
    assert text.ids[15:18] == [9, 9, 9]


def test_a_stopped_text_is_written_no_further(batch: RunningBatch) -> None:
    text = Text(batch, LONG_PROMPT[:10], 20)
    batch.step()
    batch.end_where(lambda _: True)
    assert not batch.has_work
    assert len(text.ids) == 11


def test_has_room_for_what_fits_besides_the_running(engine: Path) -> None:
    batch = open_batch(engine, VOCAB_SIZE, 128, 512, max_draft_len=5, max_num_seqs=64)
    assert batch.has_room_for(sequence([1] * 127))
    batch.start(sequence(LONG_PROMPT[:40]))
    assert batch.has_room_for(sequence([1] * 63))
    assert not batch.has_room_for(sequence([1] * 64))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=0, top_p=1.0, temperature=5.0, seed=4)])
def test_what_fills_the_vocabulary_up_is_never_chosen(engine: Path, sampling: Sampling) -> None:
    batch = open_batch(engine, 100, 1024, 512, max_draft_len=5, max_num_seqs=64)
    (text,) = write(batch, [LONG_PROMPT[:10]], 80, sampling=sampling, num_prompt_log_probs=5)
    assert max(text.ids[10:]) < 100
    tops = [token_id for score in text.sequence.prompt_scores for token_id, _ in score.top]
    assert max(tops) < 100


def written(batch: RunningBatch, *prompts: list[int], sampling: Sampling) -> list[list[int]]:
    return [text.sender.ids for text in write(batch, list(prompts), 80, sampling=sampling)]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=3, top_p=1.0, temperature=0.3, seed=4)])
@pytest.mark.parametrize(("precision", "width"), [("int8", 128), ("int8", 96), ("int4", 128), ("bf16", 128)])
def test_drafts_and_company_change_no_id(
    tmp_path: Path, precision: str, width: int, sampling: Sampling
) -> None:
    engine = write_engine(tmp_path / "tiny", precision, width)
    alone = open_batch(engine, VOCAB_SIZE, 4096, 512, max_draft_len=0, max_num_seqs=64)
    drafting = open_batch(engine, VOCAB_SIZE, 4096, 512, max_draft_len=5, max_num_seqs=64)
    prompts = [LONG_PROMPT[start : start + 40] for start in range(0, 100, 10)]
    expected = [written(alone, it, sampling=sampling)[0] for it in prompts]
    assert [written(drafting, it, sampling=sampling)[0] for it in prompts] == expected
    assert written(drafting, *prompts[:2], sampling=sampling) == expected[:2]
    assert written(drafting, *prompts, sampling=sampling) == expected


@pytest.mark.parametrize(
    ("precision", "width", "properties"),
    [("int8", 128, FAST), ("int4", 128, FAST), ("int8", 96, EXACT), ("bf16", 128, EXACT)],
)
def test_layers_are_in_bfloat16_where_all_products_are_of_bytes(
    tmp_path: Path, precision: str, width: int, properties: Properties
) -> None:
    engine = write_engine(tmp_path / "tiny", precision, width)
    layers = openvino.Core().read_model(engine / "openvino_model.xml")
    assert _layer_properties(layers) == properties


def test_drafts_save_steps(quantized: Path) -> None:
    batch = open_batch(quantized, VOCAB_SIZE, 4096, 512, max_draft_len=5, max_num_seqs=64)
    # A model of random weights soon goes round in circles.
    batch.start(sequence(LONG_PROMPT[:40], 200))
    assert run(batch) < 150


_SIGNAL_AFTER_THE_LAST_MODEL = """
import gc, os, signal, sys
from pathlib import Path
from batching.running_batch import open_batch
from tests.model_repository.tensorrt_llm.asking import sequence

signal.signal(signal.SIGTERM, lambda *_: print("handled"))
batch = open_batch(Path(sys.argv[1]), 260, 1024, 512, max_draft_len=0, max_num_seqs=1)
batch.start(sequence(range(64)))
batch.step()
del batch
gc.collect()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signals_are_handled_when_the_last_model_is_gone(quantized: Path) -> None:
    command = [sys.executable, "-c", _SIGNAL_AFTER_THE_LAST_MODEL, str(quantized)]
    folders = (Path(paged_model.__file__).parents[1], Path(__file__).parents[4])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "handled\n"


def test_refuses_a_model_that_changes_its_logits(tmp_path: Path, engine: Path) -> None:
    model = openvino.Core().read_model(engine / "openvino_model.xml")
    logits = model.output("logits").get_node().input_value(0)
    result = ops.result(ops.add(logits, ops.constant(1.0, dtype=np.float32)))
    result.output(0).tensor.set_names({"logits"})
    changed = openvino.Model([result], model.get_sinks(), model.get_parameters())
    openvino.save_model(changed, tmp_path / "openvino_model.xml", False)
    with pytest.raises(RuntimeError, match="must come from MatMul, not from Add"):
        PagedModel(tmp_path, num_blocks=1)
