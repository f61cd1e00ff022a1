"""How long the engine goes on for clients that have left, by the replay engine's own count."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from build.errors import Failure
from build.paths import LOGS
from scripts.bench.load import post
from scripts.bench.stack import HOST, Stack, served
from scripts.replay.check import read_count

COUNT_FILE = LOGS / "bench-sequences"
NUM_STREAMS = 32
NUM_ROUNDS = 5
TOKENS_PER_S = 20
# Far more than a round lasts.
MAX_TOKENS = 4000
# Over which clients leave one by one.
LEAVING_S = 2.0
LOOK_EVERY_S = 0.001
PATIENCE_S = 30.0

HEADING = (
    "Milliseconds from a client's leaving until its sequence has left the engine\n"
    "leaving     streams      p50      p99      max"
)


@dataclass(frozen=True)
class Cancellation:
    """Milliseconds from a client's leaving until the engine has a sequence less, over all rounds."""

    leaving: str
    num_left: int
    gone_p50: float
    gone_p99: float
    gone_max: float


def measure_cancellation() -> Iterator[Cancellation]:
    """Clients that leave at random moments, then all at once; raises Failure for a sequence that stays."""
    variables = {"TOKENS_PER_SECOND": str(TOKENS_PER_S), "SEQUENCE_COUNT_FILE": str(COUNT_FILE)}
    with served(ENGINE="replay", **variables) as stack:
        _rounds(stack, 1, LEAVING_S)
        yield cancellation_of("one by one", _rounds(stack, NUM_ROUNDS, LEAVING_S))
        yield cancellation_of("all at once", _rounds(stack, NUM_ROUNDS, 0.0))


def cancellation_of(leaving: str, seconds: Sequence[float]) -> Cancellation:
    """Of the seconds that each sequence outlived its client."""
    p50, p99, most = (float(np.percentile(seconds, percent)) * 1e3 for percent in (50, 99, 100))
    return Cancellation(leaving, len(seconds), p50, p99, most)


def _rounds(stack: Stack, num_rounds: int, leaving_s: float) -> list[float]:
    return [seconds for _ in range(num_rounds) for seconds in asyncio.run(_round(stack, leaving_s))]


async def _round(stack: Stack, leaving_s: float) -> list[float]:
    request = post({"model": stack.model, "prompt": "Going on", "max_tokens": MAX_TOKENS, "stream": True})
    writers = []
    for _ in range(NUM_STREAMS):
        reader, writer = await asyncio.open_connection(HOST, stack.port)
        writer.write(request)
        await reader.readuntil(b"\n\n")
        writers.append(writer)
    ends = asyncio.ensure_future(ends_of(lambda: read_count(COUNT_FILE), NUM_STREAMS))
    leaves = await asyncio.gather(
        *(_leave(writer, random.uniform(0, leaving_s)) for writer in writers)  # noqa: S311 - not a secret
    )
    return outlived(leaves, await ends)


async def _leave(writer: asyncio.StreamWriter, after_s: float) -> float:
    """The moment at which it was done."""
    await asyncio.sleep(after_s)
    moment = time.monotonic()
    writer.transport.abort()
    return moment


async def ends_of(count: Callable[[], int], num_sequences: int) -> list[float]:
    """The moments at which the engine had one sequence less, until it had none; raises Failure."""
    ends: list[float] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(ends) < num_sequences:
        moment = time.monotonic()
        ends += [moment] * (num_sequences - count() - len(ends))
        if moment > deadline:
            raise Failure(f"{num_sequences - len(ends)} sequences stay in the engine, {PATIENCE_S:g} s later")
        await asyncio.sleep(LOOK_EVERY_S)
    return ends


def outlived(leaves: Sequence[float], ends: Sequence[float]) -> list[float]:
    """Seconds; the count has no names, so the first end is taken for that of the first client to leave."""
    return [end - left for left, end in zip(sorted(leaves), ends, strict=True)]


def line(row: Cancellation) -> str:
    return f"{row.leaving:11}{row.num_left:8}{row.gone_p50:9.0f}{row.gone_p99:9.0f}{row.gone_max:9.0f}"
