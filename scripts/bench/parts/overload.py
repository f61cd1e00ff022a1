"""More requests than the line takes: how soon they are refused, and what accepted streams feel of it."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from build.errors import Failure
from scripts.bench.load import RawStream, ReplayLoad, post
from scripts.bench.stack import HOST, Stack, served

NUM_STREAMS = 32
NUM_WAITING = 8
TOKENS_PER_S = 20
NUM_TOKENS = 300
NUM_ROUNDS = 3
REFUSED_PER_S = 100
# Until all streams run, and until the line is full.
START_S = 1.5
FILL_S = 0.5
# Of the 15 s that the streams take, so that they run from the first refusal to the last.
FLOOD_S = 8.0

HEADING = (
    "Requests beyond the line: milliseconds to refuse them, and between the tokens of accepted streams\n"
    "refused/s      p50      p99  gap p50     then  gap p99     then"
)


@dataclass(frozen=True)
class Overload:
    """Milliseconds over all rounds, in which streams alone and streams with refusals take turns."""

    refused_per_s: float
    refusal_p50: float
    """From the connection's beginning to the end of the answer."""
    refusal_p99: float
    gap_p50: list[float]
    """Between two tokens of a stream: alone, and while others are refused."""
    gap_p99: list[float]


def measure_overload() -> Iterator[Overload]:
    """Raises Failure for an answer that is no refusal, and for a token that was lost or doubled."""
    limits = {"MAX_CONCURRENT_REQUESTS": str(NUM_STREAMS), "MAX_QUEUED_REQUESTS": str(NUM_WAITING)}
    with served(ENGINE="replay", TOKENS_PER_SECOND=str(TOKENS_PER_S), **limits) as stack:
        load = ReplayLoad(stack)
        load.stream(NUM_STREAMS, 10)
        alone: list[RawStream] = []
        flooded: list[RawStream] = []
        refusals: list[float] = []
        for _ in range(NUM_ROUNDS):
            alone += load.stream(NUM_STREAMS, NUM_TOKENS)
            with ThreadPoolExecutor(1) as other_thread:
                streams = other_thread.submit(load.stream, NUM_STREAMS, NUM_TOKENS)
                refusals += asyncio.run(_flood(stack, streams))
                flooded += streams.result()
        yield overload_of(refusals, NUM_ROUNDS * FLOOD_S, alone, flooded)


def overload_of(
    refusals: Sequence[float], seconds: float, alone: Sequence[RawStream], flooded: Sequence[RawStream]
) -> Overload:
    """`refusals`: the seconds that each took, of so many in which they were sent."""
    gaps = [np.concatenate([np.diff(stream.arrivals) for stream in side]) * 1e3 for side in (alone, flooded)]
    gap_p50, gap_p99 = ([float(np.percentile(side, percent)) for side in gaps] for percent in (50, 99))
    return Overload(
        refused_per_s=len(refusals) / seconds,
        refusal_p50=float(np.percentile(refusals, 50)) * 1e3,
        refusal_p99=float(np.percentile(refusals, 99)) * 1e3,
        gap_p50=gap_p50,
        gap_p99=gap_p99,
    )


async def _flood(stack: Stack, streams: "Future[list[RawStream]]") -> list[float]:
    """Seconds that each refusal took, from when the line is full; the streams run until after the last."""
    body = {"model": stack.model, "prompt": "One too many", "max_tokens": NUM_TOKENS}
    request = post(body, "Connection: close")
    await asyncio.sleep(START_S)
    waiting = [await _sent(stack.port, request) for _ in range(NUM_WAITING)]
    await asyncio.sleep(FILL_S)
    refusals = []
    clock = asyncio.get_running_loop().time
    start = clock()
    while (seconds := clock() - start) < FLOOD_S:
        refusals.append(asyncio.ensure_future(_refusal_s(stack.port, request)))
        await asyncio.sleep(max(0.0, len(refusals) / REFUSED_PER_S - seconds))
    seconds_of_each = await asyncio.gather(*refusals)
    if streams.done():
        raise Failure("the streams ended before the refusals")
    for _, writer in waiting:
        writer.close()
    return seconds_of_each


async def _refusal_s(port: int, request: bytes) -> float:
    start = time.perf_counter()
    reader, writer = await _sent(port, request)
    answer = await reader.read()
    seconds = time.perf_counter() - start
    writer.close()
    if not answer.startswith(b"HTTP/1.1 429") or b"retry-after:" not in answer.lower():
        raise Failure(f"a request beyond the line was answered with {answer.decode(errors='replace')}")
    return seconds


async def _sent(port: int, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request)
    return reader, writer


def line(row: Overload) -> str:
    gaps = "".join(f"{alone:9.0f}{flooded:9.0f}" for alone, flooded in (row.gap_p50, row.gap_p99))
    return f"{row.refused_per_s:9.0f}{row.refusal_p50:9.1f}{row.refusal_p99:9.1f}{gaps}"
