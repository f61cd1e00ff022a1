"""What it costs to record a streamed token for /metrics."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from frontend.generation.delta import Delta
from frontend.metrics.counters import SharedMetrics
from frontend.metrics.request import RequestMetrics

NUM_TOKENS = 50_000
NUM_ROUNDS = 11


@dataclass(frozen=True)
class RecordingCost:
    """Microseconds of a token: median, least and most of the rounds."""

    median: float
    least: float
    most: float


def measure_recording(num_tokens: int = NUM_TOKENS) -> Iterator[RecordingCost]:
    metrics = SharedMetrics()
    deltas = [Delta(0, "word", (), 1000, number + 1) for number in range(num_tokens)]
    rounds = [_microseconds(metrics, deltas) for _ in range(NUM_ROUNDS)]
    yield RecordingCost(statistics.median(rounds), min(rounds), max(rounds))


def _microseconds(metrics: SharedMetrics, deltas: list[Delta]) -> float:
    request = RequestMetrics(metrics.row, num_generations=1, is_streamed=True)
    start = time.perf_counter()
    for delta in deltas:
        request.count((delta,))
    return (time.perf_counter() - start) / len(deltas) * 1e6
