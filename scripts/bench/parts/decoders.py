"""cpu_decoder at each level of CPUs that this one has: how long a step takes, and how exactly it computes."""

import ctypes
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from build.build_engine import open_checkpoint
from build.checkpoint.source import find_source
from build.cpu.library import decoder_libraries
from build.cpu.reference import reference_logits
from build.paths import ROOT
from scripts.bench.parts.bare_engine import use_modules
from scripts.bench.stack import built_engine

if TYPE_CHECKING:
    from batching.step_scheduler import Chunk
    from decoder.choice import Decoder

NUM_ROUNDS = 9
NUM_BLOCKS = 1400
# English and Markdown, in pieces that are one step each.
SOURCE = ROOT / "docs" / "architecture.md"
NUM_IDS = 2048
PIECE = 512

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class StepTime:
    """Medians in milliseconds of a step of several texts; in each `new` ids follow those `before`."""

    texts: int
    before: int
    new: int
    by_level: dict[str, float]


@dataclass(frozen=True)
class Quality:
    """Against the checkpoint with nothing rounded: divergence in nats, and equal greedy choices."""

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
    """The levels in turn."""
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
        yield StepTime(texts, before, new, medians)


def measure_quality() -> Iterator[Quality]:
    """On this documentation."""
    folder = built_engine()
    decoders = _open_decoders(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    ids = tokenizer.encode(SOURCE.read_text()).ids[:NUM_IDS]
    pieces = {name: _pieces(decoder, ids) for name, decoder in decoders.items()}
    pieces["nothing rounded"] = _exact_pieces(ids)
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
    """The fastest level first."""
    use_modules(folder / "model_repository")
    from decoder.cpu_level import LEVELS, cpu_flags
    from decoder.native_decoder import NativeDecoder
    from decoder.usable_cores import count_usable_cores
    from decoder.weights import read_decoder_weights

    weights, libraries, flags = read_decoder_weights(folder / "engine"), decoder_libraries(), cpu_flags()
    return {
        level: NativeDecoder(weights, NUM_BLOCKS, count_usable_cores(), ctypes.CDLL(str(libraries[level])))
        for level, needed in LEVELS.items()
        if needed <= flags
    }


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
    from batching.paged_sequence import DecodingRequest, PagedSequence
    from batching.step_scheduler import Chunk
    from contract.sampling import Sampling

    sequence = PagedSequence(DecodingRequest(ids, Sampling()))
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


def _exact_pieces(ids: Sequence[int]) -> Iterator[Floats]:
    logits = reference_logits(open_checkpoint(find_source(None)), ids)
    for start in range(0, len(ids), PIECE):
        yield logits[start : start + PIECE]
