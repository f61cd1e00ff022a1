"""CPU time per token of everything but the engine, flat out, over the replay engine."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scripts.bench.process_cpu import STACK_KINDS
from scripts.bench.replay_load import ReplayLoad
from scripts.bench.stack import Stack, served

# Concurrent answers -> tokens of each: enough CPU time for clocks that tick in 10 ms.
ANSWERS = {1: 2000, 16: 500, 64: 500, 256: 200, 1000: 100}
NUM_ROUNDS = 3


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU per token, by kind of process: medians over the rounds."""

    num_concurrent: int
    is_stream: bool
    by_kind: Mapping[str, float]
    total: float
    """Of all kinds but the engine."""
    spread: float
    """Between the cheapest and the dearest round, of the total."""


def measure_costs() -> Iterator[Cost]:
    """Rounds of one size follow each other, streamed and not in turn; raises Failure for a wrong text."""
    with served(ENGINE="replay", MAX_CONCURRENT_REQUESTS="1024") as stack:
        load = ReplayLoad(stack)
        # Fills caches and connections.
        _run(load, 16, 100, is_stream=True)
        for num_concurrent, num_tokens in ANSWERS.items():
            rounds = [_round(stack, load, num_concurrent, num_tokens) for _ in range(NUM_ROUNDS)]
            for is_stream in (True, False):
                yield _cost(num_concurrent, is_stream, [costs[is_stream] for costs in rounds])


def _round(
    stack: Stack, load: ReplayLoad, num_concurrent: int, num_tokens: int
) -> dict[bool, dict[str, float]]:
    costs = {}
    for is_stream in (True, False):
        before = stack.processes.cpu_seconds()
        _run(load, num_concurrent, num_tokens, is_stream)
        after = stack.processes.cpu_seconds()
        num_all = num_concurrent * num_tokens
        costs[is_stream] = {kind: (after[kind] - before[kind]) * 1e6 / num_all for kind in after}
    return costs


def _run(load: ReplayLoad, num_concurrent: int, num_tokens: int, is_stream: bool) -> None:
    if is_stream:
        load.stream(num_concurrent, num_tokens)
    else:
        load.whole(num_concurrent, num_tokens)


def _cost(num_concurrent: int, is_stream: bool, rounds: list[dict[str, float]]) -> Cost:
    totals = [sum(costs[kind] for kind in STACK_KINDS) for costs in rounds]
    by_kind = {kind: statistics.median(costs[kind] for costs in rounds) for kind in rounds[0]}
    return Cost(num_concurrent, is_stream, by_kind, statistics.median(totals), max(totals) - min(totals))
