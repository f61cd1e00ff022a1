"""CPU time per token: of everything but the engine, and of its record for /metrics."""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from frontend.generation.delta import Delta
from frontend.metrics.counters import SharedMetrics
from frontend.metrics.request import RequestMetrics
from scripts.bench.load import H200_TOKENS_PER_S, ReplayLoad, h200_pace
from scripts.bench.plots import Line, Plot
from scripts.bench.stack import STACK_KINDS, Stack, served

# Concurrent answers -> tokens of each: enough CPU time for clocks that tick in 10 ms. A request itself costs
# as much as 20 to 40 tokens.
ANSWERS = {1: 2000, 16: 1000, 64: 1000, 256: 500, 1000: 200}
NUM_ROUNDS = 3
# In tritonserver's own process, as TensorRT-LLM's C++ backend is.
NATIVE = "native-replay"
# A process of its own, as the CPU engine is.
PROCESS = "replay"
# Of the record for /metrics.
NUM_RECORDED = 50_000
NUM_RECORDINGS = 11

COST_HEADING = (
    "CPU microseconds per token of all but the engine, which is within tritonserver (native-replay)\n"
    f"or in a process of its own (replay), and writes {H200_TOKENS_PER_S:,} tokens/s at most\n"
    "engine         concurrent   answers   tokens/s  events/token  total  spread"
    + "".join(f"{kind:>14}" for kind in (*STACK_KINDS, "engine"))
)
RECORDING_HEADING = "Microseconds to record a token for /metrics\nmedian  least   most"


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
class RecordingCost:
    """Microseconds of a token: median, least and most of the rounds."""

    median: float
    least: float
    most: float


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


def cost_line(row: Cost) -> str:
    kinds = "".join(f"{row.by_kind[kind]:14.0f}" for kind in (*STACK_KINDS, "engine"))
    way = "streamed" if row.is_stream else "whole"
    rates = f"{row.tokens_per_s:10.0f}{row.events_per_token:14.2f}"
    costs = f"{row.total:7.0f}{row.spread:8.0f}{kinds}"
    return f"{row.engine:15}{row.num_concurrent:10}   {way:8}{rates}{costs}"


def plots(rows: Sequence[Cost]) -> dict[str, Plot]:
    """Cost per token against concurrency."""
    lines = []
    for engine, name in ((NATIVE, "engine in tritonserver"), (PROCESS, "engine in a process of its own")):
        for is_stream, way in ((True, "streamed"), (False, "whole answers")):
            own = [row for row in rows if (row.engine, row.is_stream) == (engine, is_stream)]
            costs = [row.total for row in own]
            lines.append(Line(f"{name}, {way}", [row.num_concurrent for row in own], costs))
    title = "CPU per token of all but the engine, one token a response"
    return {"cost": Plot(title, "answers at once", "microseconds", lines)}


def measure_recording(num_tokens: int = NUM_RECORDED) -> Iterator[RecordingCost]:
    metrics = SharedMetrics()
    deltas = [Delta(0, "word", (), 1000, number + 1) for number in range(num_tokens)]
    rounds = [_microseconds(metrics, deltas) for _ in range(NUM_RECORDINGS)]
    yield RecordingCost(statistics.median(rounds), min(rounds), max(rounds))


def _microseconds(metrics: SharedMetrics, deltas: list[Delta]) -> float:
    request = RequestMetrics(metrics.row, num_generations=1, is_streamed=True)
    start = time.perf_counter()
    for delta in deltas:
        request.count((delta,))
    return (time.perf_counter() - start) / len(deltas) * 1e6


def recording_line(row: RecordingCost) -> str:
    return f"{row.median:6.2f}  {row.least:5.2f}  {row.most:5.2f}"
