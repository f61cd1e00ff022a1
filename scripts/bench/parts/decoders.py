"""What computes the logits, cpu_decoder and OpenVINO on one engine: how long it takes, and how exactly."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino
from numpy.typing import NDArray
from tokenizers import Tokenizer

from build.paths import ROOT
from scripts.bench.parts.bare_engine import silent_sequence, use_modules
from scripts.bench.stack import built_engine

if TYPE_CHECKING:
    from batching.step_scheduler import Chunk
    from decoder.choice import Decoder

CPU_DECODER, OPENVINO = "cpu_decoder", "OpenVINO"
NUM_ROUNDS = 9
NUM_BLOCKS = 1400
# English and Markdown, in pieces that are one step each.
SOURCE = ROOT / "docs" / "architecture.md"
NUM_IDS = 3072
PIECE = 512
# With neither activations nor keys and values rounded.
_EXACTLY = {
    "INFERENCE_PRECISION_HINT": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    "KV_CACHE_PRECISION": "f32",
}

Floats = NDArray[np.float32]

STEPS_HEADING = (
    "Milliseconds of a step: texts, ids before and new ids of each\n"
    "texts   before   new   cpu_decoder   OpenVINO   ratio"
)
QUALITY_HEADING = (
    "Greedy choices and log-probs against the same weights with nothing rounded\n"
    "decoder          perplexity   divergence  same choice"
)


@dataclass(frozen=True)
class StepTime:
    """Medians in milliseconds of a step of several texts; in each `new` ids follow those `before`."""

    texts: int
    before: int
    new: int
    cpu_decoder_ms: float | None
    """None: it is not for this engine or this CPU."""
    openvino_ms: float


@dataclass(frozen=True)
class Quality:
    """Against the same weights with nothing rounded: divergence in nats, and equal greedy choices."""

    decoder: str
    perplexity: float
    divergence: float
    same_choice: float


STEPS = (
    *((texts, 200, 1) for texts in (1, 4, 8, 16, 32)),
    *((texts, 1000, 1) for texts in (1, 16, 32)),
    (1, 0, 128),
    (8, 0, 64),
    (1, 0, 512),
    (1, 4096, 512),
)


def measure_steps() -> Iterator[StepTime]:
    """The two in turn."""
    decoders = _open_decoders(built_engine())
    for texts, before, new in STEPS:
        chunks = _chunks(texts, before, new)
        for decoder in decoders.values():
            _fill(decoder, chunks)
        rounds = [
            {name: _milliseconds(decoder, chunks) for name, decoder in decoders.items()}
            for _ in range(NUM_ROUNDS + 1)
        ]
        medians = {name: statistics.median(times[name] for times in rounds[1:]) for name in decoders}
        yield StepTime(texts, before, new, medians.get(CPU_DECODER), medians[OPENVINO])


def measure_quality() -> Iterator[Quality]:
    """On this documentation."""
    folder = built_engine()
    decoders = _open_decoders(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    ids = tokenizer.encode(SOURCE.read_text()).ids[:NUM_IDS]
    pieces = {name: _pieces(decoder, ids) for name, decoder in decoders.items()}
    pieces["nothing rounded"] = _exact_pieces(folder, ids)
    yield from compare(pieces, ids)


def compare(pieces: Mapping[str, Iterator[Floats]], ids: Sequence[int]) -> Iterator[Quality]:
    """Takes the logits of each, piece by piece, the exact ones last."""
    sums = {name: np.zeros(3) for name in pieces}
    num_scored = 0
    for logits in zip(*pieces.values(), strict=True):
        log_probs = [_log_probs(each) for each in logits]
        following = np.array(ids[num_scored + 1 : num_scored + 1 + len(logits[0])])
        for total, own in zip(sums.values(), log_probs, strict=True):
            total += _differences(own[: len(following)], log_probs[-1][: len(following)], following)
        num_scored += len(following)
    for name, (loss, divergence, same) in sums.items():
        yield Quality(name, float(np.exp(loss / num_scored)), divergence / num_scored, same / num_scored)


def _differences(own: Floats, exact: Floats, following: NDArray[np.int64]) -> NDArray[np.float64]:
    loss = -own[np.arange(len(following)), following].sum(dtype=np.float64)
    divergence = (np.exp(exact) * (exact - own)).sum(dtype=np.float64)
    return np.array([loss, divergence, (own.argmax(-1) == exact.argmax(-1)).sum()])


def _log_probs(logits: Floats) -> Floats:
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def _open_decoders(folder: Path) -> Mapping[str, "Decoder"]:
    """OpenVINO, and first cpu_decoder, where it would compute this engine here."""
    use_modules(folder / "model_repository")
    from decoder.choice import open_decoder
    from decoder.native_decoder import NativeDecoder
    from decoder.paged_model import PagedModel

    chosen = open_decoder(folder / "engine", NUM_BLOCKS)
    if not isinstance(chosen, NativeDecoder):
        return {OPENVINO: chosen}
    return {CPU_DECODER: chosen, OPENVINO: PagedModel(folder / "engine", NUM_BLOCKS)}


def _chunks(texts: int, before: int, new: int) -> "list[Chunk]":
    blocks = count()
    numbers = np.random.default_rng(texts)
    ids = numbers.integers(300, 30_000, [texts, before + new]).tolist()
    return [_chunk(own, before, new, 1, blocks) for own in ids]


def _fill(decoder: "Decoder", chunks: "Sequence[Chunk]") -> None:
    """An untouched cache is one page of zeros, read from a core's own memory."""
    for chunk in chunks:
        for start in range(0, chunk.start, PIECE):
            num_tokens = min(PIECE, chunk.start - start)
            decoder.infer([replace(chunk, start=start, num_tokens=num_tokens, num_rows=1)])


def _chunk(ids: Sequence[int], start: int, new: int, num_rows: int, blocks: Iterator[int]) -> "Chunk":
    from batching.kv_blocks import BlockTable, num_blocks_for
    from batching.step_scheduler import Chunk

    sequence = silent_sequence(ids, 1)
    sequence.table = BlockTable([next(blocks) for _ in range(num_blocks_for(len(ids)))])
    return Chunk(sequence, start, new, num_rows, is_last=True)


def _milliseconds(decoder: "Decoder", chunks: "list[Chunk]") -> float:
    start = time.perf_counter()
    decoder.infer(chunks)
    return (time.perf_counter() - start) * 1e3


def _pieces(decoder: "Decoder", ids: Sequence[int]) -> Iterator[Floats]:
    for start in range(0, len(ids), PIECE):
        end = min(start + PIECE, len(ids))
        yield decoder.infer([_chunk(ids[:end], start, end - start, end - start, count())])


def _exact_pieces(folder: Path, ids: Sequence[int]) -> Iterator[Floats]:
    """Of the graph as it was built, which keeps keys and values itself."""
    path = folder / "engine" / "openvino_model.xml"
    request = _compile(path, _EXACTLY).create_infer_request()
    for start in range(0, len(ids), PIECE):
        end = min(start + PIECE, len(ids))
        inputs = {
            "input_ids": np.array([ids[start:end]]),
            "attention_mask": np.ones([1, end], np.int64),
            "position_ids": np.arange(start, end)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        yield request.infer(inputs)["logits"][0]


def _compile(path: Path, properties: Mapping[str, str]) -> Any:
    from decoder.cpu_inference import compile_for_cpu, read_model

    model: openvino.Model = read_model(path)
    return compile_for_cpu(model, properties)


def step_line(row: StepTime) -> str:
    own = "-" if row.cpu_decoder_ms is None else f"{row.cpu_decoder_ms:.1f}"
    ratio = "-" if row.cpu_decoder_ms is None else f"{row.openvino_ms / row.cpu_decoder_ms:.2f}"
    return f"{row.texts:5}{row.before:9}{row.new:6}{own:>14}{row.openvino_ms:11.1f}{ratio:>8}"


def quality_line(row: Quality) -> str:
    return f"{row.decoder:17}{row.perplexity:10.2f}{row.divergence:13.4f}{row.same_choice:13.1%}"
