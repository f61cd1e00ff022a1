"""Streams at a steady pace over the replay engine: how late tokens come, and whether memory stays."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.bench.load import H200_STREAMS, H200_TOKENS_PER_S, RawStream, ReplayLoad, h200_pace
from scripts.bench.stack import STACK_KINDS, served

# Streams, tokens of each, tokens per second of each. The second is half of what two cores carry with an event
# for each token.
PARTIAL_LOADS = ((100, 750, 25.0), (100, 1800, 60.0))
# As long as one answer each, and as ten that follow each other: Triton 2.51 keeps an answer until it ends.
FULL_LOADS = ((1000, 3000, 10.0, 1), (1000, 300, 10.0, 10))
H200_S = 20
MEMORY_INTERVAL_S = 10

_PACED_COLUMNS = (
    "delay behind the engine's schedule and gaps in ms, memory in MiB at the start and after each quarter\n"
    "streams  tokens  tokens/s delay p50      p99  gap p99      max events/token  us/token   memory"
)
DELAY_HEADING = f"A quarter and half of the load: {_PACED_COLUMNS}"
STREAMS_HEADING = f"Streams of 10 tokens/s for five minutes: {_PACED_COLUMNS}"
RATE_HEADING = f"{H200_TOKENS_PER_S:,} tokens/s, as of an H200: {_PACED_COLUMNS}"


@dataclass(frozen=True)
class Steadiness:
    """Milliseconds over all tokens of all streams but each one's first; memory in MiB."""

    num_streams: int
    num_tokens: int
    """Of an answer."""
    tokens_per_s: float
    """Of all streams together, from the first token to the last."""
    delay_p50: float
    """Behind the engine's schedule, whose beginning is the stream's most punctual token."""
    delay_p99: float
    gap_p99: float
    """Between an event of a stream and the next."""
    gap_max: float
    events_per_token: float
    """Below 1 where tokens that had to wait came together."""
    cost: float
    """Microseconds of CPU per token, of all but the engine."""
    memory: tuple[float, ...]
    """Of the stack and the engine, every ten seconds."""


def measure_gpu_rate() -> Iterator[Steadiness]:
    """The rate of a GPU, spread over so many streams."""
    for num_streams in H200_STREAMS:
        pace = h200_pace(num_streams)
        yield measure_steadiness(num_streams, round(pace * H200_S), pace)


def measure_partial_loads() -> Iterator[Steadiness]:
    for load in PARTIAL_LOADS:
        yield measure_steadiness(*load)


def measure_full_loads() -> Iterator[Steadiness]:
    for load in FULL_LOADS:
        yield measure_steadiness(*load)


def measure_steadiness(num_streams: int, num_tokens: int, pace: float, num_answers: int = 1) -> Steadiness:
    """`pace`: tokens per second of one stream. Raises Failure for a token that was lost or doubled."""
    variables = {"TOKENS_PER_SECOND": str(pace), "MAX_CONCURRENT_REQUESTS": "1024"}
    with served(ENGINE="native-replay", **variables) as stack:
        load = ReplayLoad(stack)
        load.stream(num_streams, 10)
        before = stack.processes.cpu_seconds()
        with _Sampler(stack.processes.memory_mib) as memory:
            answers = load.stream(num_streams, num_tokens, num_answers)
        after = stack.processes.cpu_seconds()
        seconds = sum(after[kind] - before[kind] for kind in STACK_KINDS)
        cost = seconds * 1e6 / sum(map(_num_tokens, answers))
        return _steadiness(answers, (num_streams, num_tokens), pace, cost, memory.samples)


class _Sampler:
    """Calls `read` at intervals, in a thread of its own."""

    def __init__(self, read: Callable[[], float]) -> None:
        self.samples = [read()]
        self._read = read
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "_Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.samples.append(self._read())

    def _run(self) -> None:
        while not self._is_over.wait(MEMORY_INTERVAL_S):
            self.samples.append(self._read())


def _steadiness(
    answers: Sequence[RawStream],
    load: tuple[int, int],
    pace: float,
    cost: float,
    memory: Sequence[float],
) -> Steadiness:
    """`load`: streams, and tokens of an answer."""
    num_tokens = sum(map(_num_tokens, answers))
    delays = np.concatenate([_delays(answer, pace) for answer in answers]) * 1e3
    first = min(answer.arrivals[0] for answer in answers)
    last = max(answer.arrivals[-1] for answer in answers)
    gaps = np.concatenate([np.diff(answer.arrivals) for answer in answers]) * 1e3
    return Steadiness(
        *load,
        tokens_per_s=num_tokens / (last - first),
        delay_p50=float(np.percentile(delays, 50)),
        delay_p99=float(np.percentile(delays, 99)),
        gap_p99=float(np.percentile(gaps, 99)),
        gap_max=float(gaps.max()),
        events_per_token=sum(len(answer.arrivals) for answer in answers) / num_tokens,
        cost=cost,
        memory=tuple(memory),
    )


def _num_tokens(answer: RawStream) -> int:
    return answer.num_words_by[-1]


def _delays(answer: RawStream, pace: float) -> NDArray[np.float64]:
    """Seconds by which each event is behind the schedule of the last token in it."""
    lateness = np.asarray(answer.arrivals) - np.asarray(answer.num_words_by) / pace
    behind: NDArray[np.float64] = lateness - lateness.min()
    return behind


def line(row: Steadiness) -> str:
    delays = f"{row.delay_p50:9.1f}{row.delay_p99:9.1f}{row.gap_p99:9.1f}{row.gap_max:9.1f}"
    last = len(row.memory) - 1
    memory = ", ".join(f"{row.memory[last * quarter // 4]:.0f}" for quarter in range(5))
    rates = f"{row.num_streams:7}{row.num_tokens:8}{row.tokens_per_s:10.0f}"
    return f"{rates}{delays}{row.events_per_token:13.2f}{row.cost:9.0f}   {memory}"
