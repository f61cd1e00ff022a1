"""cpu_decoder on tiny models with random weights, against the same rounding in numpy, and to the last bit.

Every test runs at each level that this CPU has; the others are skipped by name.
"""

import gc
import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from batching.kv_blocks import BLOCK_TOKENS, BlockTable, num_blocks_for
from batching.paged_sequence import PagedSequence
from batching.running_batch import RunningBatch
from batching.step_scheduler import Chunk, StepScheduler
from decoder.cpu_inference import read_model
from decoder.cpu_level import LEVELS, cpu_flags
from decoder.native_decoder import NativeDecoder
from decoder.weights import DecoderWeights, read_decoder_weights
from numpy.typing import NDArray
from sampling.token_chooser import TokenChooser

from build.checkpoint.safetensors import SafetensorsCheckpoint
from build.cpu.graph import LlamaGraph
from build.cpu.weights import PRECISIONS, quantize_int8
from serving.backends import decoder_libraries
from tests.build.tiny_llama import (
    LLAMA3_SCALING,
    Rounding,
    reference_logits,
    tiny_config,
    tiny_tensors,
    write_hugging_face,
)
from tests.model_repository.tensorrt_llm import asking
from tests.model_repository.tensorrt_llm.fake_sender import FakeSender

# Three queries a head of keys and values; groups of 64 in the last product.
SMALL_HEADS = tiny_config(
    hidden_size=384, num_attention_heads=6, num_key_value_heads=2, intermediate_size=192, vocab_size=320
)
LARGE_HEADS = tiny_config(
    hidden_size=256,
    num_attention_heads=2,
    num_key_value_heads=1,
    intermediate_size=256,
    vocab_size=384,
    tie_word_embeddings=False,
    rope_scaling=LLAMA3_SCALING,
)
NUM_BLOCKS = 64
GROUP = 64
# Of the logits' standard deviation. Sums in another order round now and then to the byte beside; one byte
# makes up to 0.03 of it.
TOLERANCE, TOLERANCE_OF_FIRST_ROW = 0.05, 1e-5
LONG_TEXT = np.random.default_rng(5).integers(0, 320, 300).tolist()


def soften(name: str, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights that make small scores: what is rounded the other way in one place stays small everywhere."""
    return tensor / 4 if name.endswith("_proj.weight") else tensor


class SoftCheckpoint:
    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        write_hugging_face(folder, config)
        self._whole = SafetensorsCheckpoint(folder / "config.json", [folder / "model.safetensors"])
        self.config = self._whole.config

    def tensor(self, name: str) -> NDArray[np.float32]:
        return soften(name, self._whole.tensor(name))


def read_weights(folder: Path, config: dict[str, Any]) -> DecoderWeights:
    checkpoint = SoftCheckpoint(folder, config)
    model = LlamaGraph(checkpoint, PRECISIONS["int8"]).build(lambda: None)
    openvino.save_model(model, folder / "openvino_model.xml", False)
    return read_decoder_weights(read_model(folder / "openvino_model.xml"))


@pytest.fixture(scope="module", params=LEVELS)
def library(request: pytest.FixtureRequest) -> Path:
    lacking = LEVELS[request.param] - cpu_flags()
    if lacking:
        pytest.skip(f"{request.param} needs {', '.join(sorted(lacking))}, which this CPU has not")
    return decoder_libraries()[request.param]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> DecoderWeights:
    return read_weights(tmp_path_factory.mktemp("tiny") / "small-heads", SMALL_HEADS)


@pytest.fixture
def decoder(weights: DecoderWeights, library: Path) -> NativeDecoder:
    return NativeDecoder(weights, NUM_BLOCKS, num_threads=2, library=library)


def stored(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is left of a matrix as bytes."""
    if tensor.ndim == 1:
        return tensor
    quantized, scales = quantize_int8(tensor)
    return np.asarray(quantized * scales.astype(np.float32), np.float32).reshape(tensor.shape)


def round_to_bytes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """By the last axis."""
    scales = np.abs(values).max(-1, keepdims=True) / 127
    return np.asarray(np.rint(values / scales) * scales)


def round_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return round_to_bytes(rows.reshape(len(rows), -1, GROUP)).reshape(rows.shape)


def reference(config: dict[str, Any], ids: list[int]) -> NDArray[np.float64]:
    tensors = {name: stored(soften(name, tensor)) for name, tensor in tiny_tensors(config).items()}
    return reference_logits(config, tensors, ids, Rounding(round_rows, round_to_bytes))


def text_of(ids: list[int], first_block: int = 0) -> PagedSequence:
    """Its blocks lie in no order."""
    sequence = asking.sequence(ids)
    numbers = range(first_block, first_block + num_blocks_for(len(ids)))
    sequence.table = BlockTable(sorted(numbers, key=lambda number: number * 7 % 11))
    return sequence


def part(sequence: PagedSequence, start: int, end: int) -> Chunk:
    """All of whose rows are wanted."""
    return Chunk(sequence, start, end - start, end - start, is_last=True)


@pytest.mark.parametrize("config", [SMALL_HEADS, LARGE_HEADS], ids=["small-heads", "large-heads"])
def test_logits_are_those_of_the_reference(tmp_path: Path, library: Path, config: dict[str, Any]) -> None:
    decoder = NativeDecoder(read_weights(tmp_path / "tiny", config), NUM_BLOCKS, 2, library)
    logits = decoder.infer([part(text_of(LONG_TEXT), 0, len(LONG_TEXT))])
    expected = reference(config, LONG_TEXT)
    assert logits.shape == expected.shape
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE * expected.std())
    np.testing.assert_allclose(logits[0], expected[0], rtol=0, atol=TOLERANCE_OF_FIRST_ROW * expected.std())


@pytest.fixture(scope="module")
def expected(weights: DecoderWeights, library: Path) -> NDArray[np.float32]:
    """The whole text in one step on one thread."""
    decoder = NativeDecoder(weights, NUM_BLOCKS, num_threads=1, library=library)
    return decoder.infer([part(text_of(LONG_TEXT), 0, len(LONG_TEXT))]).copy()


@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.parametrize("step", [1, 2, 5, 7, 32, 100, 127, 299])
def test_a_text_is_the_same_however_it_is_cut(
    weights: DecoderWeights, library: Path, expected: NDArray[np.float32], step: int, num_threads: int
) -> None:
    decoder = NativeDecoder(weights, NUM_BLOCKS, num_threads, library)
    text = text_of(LONG_TEXT)
    for start in range(0, len(LONG_TEXT), step):
        end = min(start + step, len(LONG_TEXT))
        np.testing.assert_array_equal(decoder.infer([part(text, start, end)]), expected[start:end])


def test_a_text_is_the_same_whatever_is_beside_it(
    decoder: NativeDecoder, expected: NDArray[np.float32]
) -> None:
    ends = [1, 3, 50, 64, 130, 7, 20]
    begins = np.cumsum([0, *map(num_blocks_for, ends)]).tolist()
    texts = [text_of(LONG_TEXT[:end], begin) for end, begin in zip(ends, begins[:-1], strict=True)]
    logits = decoder.infer([part(text, 0, end) for text, end in zip(texts, ends, strict=True)])
    assert logits.shape == (sum(ends), 320)
    for end, row in zip(ends, np.cumsum([0, *ends]), strict=False):
        np.testing.assert_array_equal(logits[row : row + end], expected[:end])


def test_only_wanted_rows_have_logits(decoder: NativeDecoder, expected: NDArray[np.float32]) -> None:
    text = text_of(LONG_TEXT)
    assert len(decoder.infer([Chunk(text, 0, 100, 0, is_last=False)])) == 0
    np.testing.assert_array_equal(decoder.infer([Chunk(text, 100, 100, 2, is_last=True)]), expected[198:200])


def test_a_draft_that_was_wrong_leaves_nothing(decoder: NativeDecoder, expected: NDArray[np.float32]) -> None:
    text = text_of(LONG_TEXT)
    drafting = Chunk(text, 0, 100, 1, is_last=True, draft=[*LONG_TEXT[100:102], 5, 6])
    np.testing.assert_array_equal(decoder.infer([drafting])[:3], expected[99:102])
    np.testing.assert_array_equal(decoder.infer([part(text, 102, 300)]), expected[102:])


def batch(weights: DecoderWeights, library: Path, num_blocks: int, max_draft_len: int) -> RunningBatch:
    decoder = NativeDecoder(weights, num_blocks, 2, library)
    scheduler = StepScheduler(num_blocks, 64, max_draft_len)
    return RunningBatch(decoder, scheduler, TokenChooser(decoder.vocab_size), 64, decoder.vocab_size)


def written(batch: RunningBatch, *prompts: list[int]) -> list[list[int]]:
    senders = [FakeSender() for _ in prompts]
    for prompt, sender in zip(prompts, senders, strict=True):
        batch.start(asking.sequence(prompt, 60, sender=sender))
    while batch.has_work:
        batch.step()
    return [sender.ids for sender in senders]


def test_drafts_company_and_lost_blocks_change_no_id(weights: DecoderWeights, library: Path) -> None:
    prompts = [LONG_TEXT[start : start + 40] for start in range(0, 100, 10)]
    alone = batch(weights, library, NUM_BLOCKS, max_draft_len=0)
    expected = [written(alone, it)[0] for it in prompts]
    assert written(batch(weights, library, NUM_BLOCKS, max_draft_len=5), *prompts) == expected
    assert written(batch(weights, library, 12, max_draft_len=5), *prompts[:5]) == expected[:5]


def test_the_threads_go_with_the_decoder(weights: DecoderWeights, library: Path) -> None:
    before = len(os.listdir("/proc/self/task"))
    decoder = NativeDecoder(weights, NUM_BLOCKS, num_threads=9, library=library)
    assert len(os.listdir("/proc/self/task")) == before + 8
    del decoder
    gc.collect()
    assert len(os.listdir("/proc/self/task")) == before


def test_a_step_has_room_for_all_texts_at_once(decoder: NativeDecoder) -> None:
    """More than any before it, and less again."""
    for num_texts in (1, NUM_BLOCKS, 2):
        texts = [text_of(LONG_TEXT[:BLOCK_TOKENS], first_block=number) for number in range(num_texts)]
        assert len(decoder.infer([Chunk(it, 0, BLOCK_TOKENS, 1, is_last=True) for it in texts])) == num_texts


def test_levels_are_near_each_other(weights: DecoderWeights) -> None:
    """Sums of bytes are equal; floats are summed in another order, which rounds some bytes otherwise."""
    flags = cpu_flags()
    levels = [level for level, needed in LEVELS.items() if needed <= flags]
    logits = []
    for level in levels:
        decoder = NativeDecoder(weights, NUM_BLOCKS, 2, decoder_libraries()[level])
        logits.append(decoder.infer([part(text_of(LONG_TEXT), 0, len(LONG_TEXT))]).copy())
    for other in logits[1:]:
        np.testing.assert_allclose(other, logits[0], rtol=0, atol=TOLERANCE * logits[0].std())
        np.testing.assert_allclose(
            other[0], logits[0][0], rtol=0, atol=TOLERANCE_OF_FIRST_ROW * logits[0].std()
        )
