"""The whole pipeline on a tiny model with random weights, against arithmetic in numpy."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from batching.kv_blocks import BLOCK_TOKENS
from batching.paged_pipeline import PagedPipeline, open_paged_pipeline
from batching.paged_sequence import DecodingRequest, PagedSequence
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

CONFIG = tiny_config()
# Bytes in the KV cache are too coarse to be compared with the reference.
COMPARABLE = {**EXACT, "KV_CACHE_PRECISION": "f32"}
TOLERANCE = 2e-3
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


def open_exact(engine: Path, max_kv_tokens: int = 1024, max_num_tokens: int = 512) -> PagedPipeline:
    num_blocks = max_kv_tokens // BLOCK_TOKENS
    model = PagedModel(engine, num_blocks, COMPARABLE)
    scheduler = StepScheduler(num_blocks, max_num_tokens, max_draft_len=5)
    return PagedPipeline(model, scheduler, TokenChooser(model.vocab_size))


@pytest.fixture(scope="module")
def pipeline(engine: Path) -> PagedPipeline:
    return open_exact(engine)


def request(prompt_ids: list[int], **options: Any) -> DecodingRequest:
    return DecodingRequest(prompt_ids, options.pop("sampling", Sampling()), wants_log_probs=True, **options)


class Writer:
    """Runs sequences to a number of ids, and collects their scores."""

    def __init__(self, pipeline: PagedPipeline, count: int) -> None:
        self._pipeline = pipeline
        self._count = count

    def write(self, *requests: DecodingRequest) -> list[PagedSequence]:
        sequences = [self._pipeline.start(it) for it in requests]
        self.log_probs: dict[int, list[float]] = {index: [] for index in range(len(sequences))}
        while self._pipeline.has_work:
            for choice in self._pipeline.step():
                assert choice.log_prob is not None
                log_probs = self.log_probs[sequences.index(choice.sequence)]
                log_probs.append(choice.log_prob)
                if len(log_probs) == self._count:
                    self._pipeline.stop(choice.sequence)
        return sequences


def reference_log_probs(ids: list[int]) -> NDArray[np.float32]:
    """Of every id but the first."""
    logits = reference_logits(CONFIG, tiny_tensors(CONFIG), ids)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.asarray(log_probs[np.arange(len(ids) - 1), ids[1:]])


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=0, top_p=0.9, seed=2)])
def test_log_probs_are_those_of_the_reference(sampling: Sampling, pipeline: PagedPipeline) -> None:
    prompts = [LONG_PROMPT[:length] for length in (1, 3, 31, 32, 33, 150)]
    writer = Writer(pipeline, 20)
    for index, sequence in enumerate(
        writer.write(*(request(prompt, sampling=sampling) for prompt in prompts))
    ):
        expected = reference_log_probs(sequence.ids)[len(prompts[index]) - 1 :]
        np.testing.assert_allclose(writer.log_probs[index], expected, atol=TOLERANCE)


def test_greedy_writes_what_is_most_probable(pipeline: PagedPipeline) -> None:
    (sequence,) = Writer(pipeline, 20).write(request(LONG_PROMPT[:10]))
    logits = reference_logits(CONFIG, tiny_tensors(CONFIG), sequence.ids)[9:-1]
    chosen = logits[np.arange(20), sequence.ids[10:]]
    np.testing.assert_allclose(chosen, logits.max(1), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("max_kv_tokens", "max_num_tokens"),
    [pytest.param(1024, 7, id="prompts-in-pieces"), pytest.param(224, 512, id="displaced-in-between")],
)
def test_memory_and_step_size_change_nothing(engine: Path, max_kv_tokens: int, max_num_tokens: int) -> None:
    pipeline = open_exact(engine, max_kv_tokens, max_num_tokens)
    requests = [request(LONG_PROMPT[start : start + 60], wants_prompt_scores=True) for start in (0, 50, 90)]
    for sequence in Writer(pipeline, 40).write(*requests):
        scores = [score.log_prob for score in sequence.prompt_scores]
        expected = reference_log_probs(sequence.ids[:60])
        np.testing.assert_allclose(scores, expected, atol=TOLERANCE)


def test_a_known_prefix_changes_nothing(engine: Path) -> None:
    pipeline = open_exact(engine)
    writer = Writer(pipeline, 20)
    (first,) = writer.write(request(LONG_PROMPT))
    (second,) = writer.write(request(first.ids[:160]))
    assert (first.num_reused, second.num_reused) == (0, 128)
    expected = reference_log_probs(second.ids)[159:]
    np.testing.assert_allclose(writer.log_probs[0], expected, atol=TOLERANCE)


def test_prompt_scores_are_those_of_the_reference(pipeline: PagedPipeline) -> None:
    (sequence,) = Writer(pipeline, 2).write(request(LONG_PROMPT, wants_prompt_scores=True, num_top=3))
    expected = reference_log_probs(LONG_PROMPT)
    np.testing.assert_allclose([it.log_prob for it in sequence.prompt_scores], expected, atol=TOLERANCE)
    assert {len(score.top) for score in sequence.prompt_scores} == {3}


def test_edits_rule_what_is_written(pipeline: PagedPipeline) -> None:
    edits = [Bias({9: 1000.0}), MinLength([9], 5)]
    (sequence,) = Writer(pipeline, 8).write(request(LONG_PROMPT[:10], edits=edits))
    assert 9 not in sequence.ids[10:15]
    assert sequence.ids[15:18] == [9, 9, 9]


def test_a_stopped_sequence_writes_no_more(pipeline: PagedPipeline) -> None:
    sequence = pipeline.start(request(LONG_PROMPT[:10]))
    pipeline.step()
    pipeline.stop(sequence)
    assert not pipeline.has_work
    assert len(sequence.ids) == 11


def test_has_room_for_what_fits_besides_the_running(engine: Path) -> None:
    pipeline = open_paged_pipeline(engine, max_kv_tokens=128, max_num_tokens=512, max_draft_len=5)
    assert pipeline.has_room_for(127)
    pipeline.start(request(LONG_PROMPT[:40]))
    assert pipeline.has_room_for(63)
    assert not pipeline.has_room_for(64)


def written(pipeline: PagedPipeline, *requests: DecodingRequest, count: int = 80) -> list[list[int]]:
    sequences = [pipeline.start(it) for it in requests]
    while pipeline.has_work:
        pipeline.step()
        for sequence in sequences:
            if len(sequence.ids) >= len(sequence.request.prompt_ids) + count:
                pipeline.stop(sequence)
    return [it.ids[len(it.request.prompt_ids) :][:count] for it in sequences]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=3, top_p=1.0, temperature=0.3, seed=4)])
@pytest.mark.parametrize(("precision", "width"), [("int8", 128), ("int8", 96), ("int4", 128), ("bf16", 128)])
def test_drafts_and_company_change_no_id(
    tmp_path: Path, precision: str, width: int, sampling: Sampling
) -> None:
    engine = write_engine(tmp_path / "tiny", precision, width)
    alone = open_paged_pipeline(engine, 4096, 512, max_draft_len=0)
    drafting = open_paged_pipeline(engine, 4096, 512, max_draft_len=5)
    requests = [DecodingRequest(LONG_PROMPT[start : start + 40], sampling) for start in range(0, 100, 10)]
    expected = [written(alone, it)[0] for it in requests]
    assert [written(drafting, it)[0] for it in requests] == expected
    assert written(drafting, *requests[:2]) == expected[:2]
    assert written(drafting, *requests) == expected


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
    pipeline = open_paged_pipeline(quantized, 4096, 512, max_draft_len=5)
    sequence = pipeline.start(DecodingRequest(LONG_PROMPT[:40], Sampling()))
    num_steps = 0
    # A model of random weights soon goes round in circles.
    while len(sequence.ids) < 240:
        pipeline.step()
        num_steps += 1
    pipeline.stop(sequence)
    assert num_steps < 150


_SIGNAL_AFTER_THE_LAST_MODEL = """
import gc, os, signal, sys
from pathlib import Path
from batching.paged_pipeline import open_paged_pipeline
from batching.paged_sequence import DecodingRequest
from contract.sampling import Sampling

signal.signal(signal.SIGTERM, lambda *_: print("handled"))
pipeline = open_paged_pipeline(Path(sys.argv[1]), 1024, 512, max_draft_len=0)
pipeline.start(DecodingRequest(list(range(64)), Sampling()))
pipeline.step()
del pipeline
gc.collect()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signals_are_handled_when_the_last_model_is_gone(quantized: Path) -> None:
    command = [sys.executable, "-c", _SIGNAL_AFTER_THE_LAST_MODEL, str(quantized)]
    environment = os.environ | {"PYTHONPATH": str(Path(paged_model.__file__).parents[1])}
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
