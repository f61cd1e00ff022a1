"""CPU time per token of everything but the engine, over the replay engines."""

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scripts.bench.h200 import h200_pace
from scripts.bench.process_cpu import STACK_KINDS
from scripts.bench.replay_load import ReplayLoad
from scripts.bench.stack import Stack, served

# Concurrent answers -> tokens of each: enough CPU time for clocks that tick in 10 ms. A request itself costs
# as much as 20 to 40 tokens.
ANSWERS = {1: 2000, 16: 1000, 64: 1000, 256: 500, 1000: 200}
NUM_ROUNDS = 3
# In tritonserver's own process, as TensorRT-LLM's C++ backend is.
NATIVE = "native-replay"
# A process of its own, as the CPU engine is.
PROCESS = "replay"


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU per token, by kind of process: medians over the rounds."""

    engine: str
    num_concurrent: int
    is_stream: bool
    by_kind: Mapping[str, float]
    """The native engine's own time is in tritonserver's."""
    total: float
    """Of all kinds but the engine."""
    spread: float
    """Between the cheapest and the dearest round, of the total."""
    tokens_per_s: float
    events_per_token: float
    """0 for answers that come whole."""


@dataclass(frozen=True)
class _Round:
    by_kind: Mapping[str, float]
    tokens_per_s: float
    events_per_token: float

    @property
    def total(self) -> float:
        return sum(self.by_kind[kind] for kind in STACK_KINDS)


def measure_costs() -> Iterator[Cost]:
    """Rounds of one size follow each other, streamed and not in turn; raises Failure for a wrong text."""
    for engine in (NATIVE, PROCESS):
        for num_concurrent, num_tokens in ANSWERS.items():
            yield from _measure(engine, num_concurrent, num_tokens)


def _measure(engine: str, num_concurrent: int, num_tokens: int) -> Iterator[Cost]:
    variables = {"TOKENS_PER_SECOND": str(h200_pace(num_concurrent)), "MAX_CONCURRENT_REQUESTS": "1024"}
    with served(ENGINE=engine, **variables) as stack:
        load = ReplayLoad(stack)
        # Fills caches and connections.
        load.stream(min(num_concurrent, 16), 100)
        rounds = [
            {
                is_stream: _round(stack, load, num_concurrent, num_tokens, is_stream)
                for is_stream in (True, False)
            }
            for _ in range(NUM_ROUNDS)
        ]
    for is_stream in (True, False):
        yield _cost(engine, num_concurrent, is_stream, [both[is_stream] for both in rounds])


def _round(stack: Stack, load: ReplayLoad, num_concurrent: int, num_tokens: int, is_stream: bool) -> _Round:
    before, started_at = stack.processes.cpu_seconds(), time.monotonic()
    num_events = 0
    if is_stream:
        num_events = sum(len(stream.arrivals) for stream in load.stream(num_concurrent, num_tokens))
    else:
        load.whole(num_concurrent, num_tokens)
    seconds, after = time.monotonic() - started_at, stack.processes.cpu_seconds()
    num_all = num_concurrent * num_tokens
    by_kind = {kind: (after[kind] - before[kind]) * 1e6 / num_all for kind in after}
    return _Round(by_kind, num_all / seconds, num_events / num_all)


def _cost(engine: str, num_concurrent: int, is_stream: bool, rounds: list[_Round]) -> Cost:
    totals = [each.total for each in rounds]
    by_kind = {kind: statistics.median(each.by_kind[kind] for each in rounds) for kind in rounds[0].by_kind}
    return Cost(
        engine,
        num_concurrent,
        is_stream,
        by_kind,
        statistics.median(totals),
        max(totals) - min(totals),
        statistics.median(each.tokens_per_s for each in rounds),
        statistics.median(each.events_per_token for each in rounds),
    )
