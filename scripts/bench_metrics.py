"""`make bench-metrics`: what it costs to record a streamed token for /metrics."""

import statistics
import time

from frontend.generation import Delta
from frontend.request_metrics import RequestMetrics
from frontend.shared_metrics import SharedMetrics
from scripts.failure import run

NUM_TOKENS = 50_000
NUM_ROUNDS = 11


def main() -> int:
    """Prints microseconds a token: the median of the rounds, the least and the most."""
    metrics = SharedMetrics()
    deltas = [Delta(0, "word", (), 1000, number + 1) for number in range(NUM_TOKENS)]
    rounds = sorted(_microseconds(metrics, deltas) for _ in range(NUM_ROUNDS))
    print(
        f"recording a token: {statistics.median(rounds):.2f} us "
        f"({rounds[0]:.2f} to {rounds[-1]:.2f} in {NUM_ROUNDS} rounds of {NUM_TOKENS:,} tokens)"
    )
    return 0


def _microseconds(metrics: SharedMetrics, deltas: list[Delta]) -> float:
    request = RequestMetrics(metrics.row, num_generations=1, is_streamed=True)
    start = time.perf_counter()
    for delta in deltas:
        request.count(delta)
    return (time.perf_counter() - start) / len(deltas) * 1e6


if __name__ == "__main__":
    run(main)
