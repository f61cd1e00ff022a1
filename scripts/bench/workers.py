"""What more frontend processes on the one port give, flat out, over the native replay engine."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scripts.bench.process_cpu import STACK_KINDS
from scripts.bench.replay_load import ReplayLoad
from scripts.bench.stack import served

NUM_WORKERS = (1, 2, 4)
NUM_ROUNDS = 3
NUM_STREAMS = 64
NUM_TOKENS = 500


@dataclass(frozen=True)
class Sample:
    """One round: tokens per second, and microseconds of CPU per token."""

    tokens_per_s: float
    frontend: float
    tritonserver: float
    engine: float
    client: float
    """Of the load client, which has the same cores."""


@dataclass(frozen=True)
class WorkersRow:
    """Medians over the rounds."""

    num_workers: int
    num_cores: int
    tokens_per_s: float
    least: float
    """Tokens per second of the slowest round."""
    most: float
    gain: float
    """Over one worker, of the medians."""
    frontend: float
    """Microseconds of CPU per token, as the three below."""
    tritonserver: float
    engine: float
    client: float


def measure_workers() -> Iterator[WorkersRow]:
    """Each round starts a stack for each number of workers, so that all see the same machine."""
    rounds = [[_sample(num_workers) for num_workers in NUM_WORKERS] for _ in range(NUM_ROUNDS)]
    yield from rows(rounds)


def rows(rounds: Sequence[Sequence[Sample]]) -> list[WorkersRow]:
    """A round has a sample for each of NUM_WORKERS."""
    by_workers = dict(zip(NUM_WORKERS, zip(*rounds, strict=True), strict=True))
    alone = statistics.median(sample.tokens_per_s for sample in by_workers[1])
    return [_row(num_workers, samples, alone) for num_workers, samples in by_workers.items()]


def _row(num_workers: int, samples: Sequence[Sample], alone: float) -> WorkersRow:
    rates = [sample.tokens_per_s for sample in samples]
    return WorkersRow(
        num_workers=num_workers,
        num_cores=len(os.sched_getaffinity(0)),
        tokens_per_s=statistics.median(rates),
        least=min(rates),
        most=max(rates),
        gain=statistics.median(rates) / alone,
        frontend=statistics.median(sample.frontend for sample in samples),
        tritonserver=statistics.median(sample.tritonserver for sample in samples),
        engine=statistics.median(sample.engine for sample in samples),
        client=statistics.median(sample.client for sample in samples),
    )


def _sample(num_workers: int) -> Sample:
    variables = {"WORKERS": str(num_workers), "MAX_CONCURRENT_REQUESTS": str(NUM_STREAMS)}
    with served(ENGINE="native-replay", **variables) as stack:
        load = ReplayLoad(stack)
        # Every worker learns the bytes of the ids, and its connections are made.
        load.stream(NUM_STREAMS, 20)
        before, client_before, start = stack.processes.cpu_seconds(), time.process_time(), time.perf_counter()
        load.stream(NUM_STREAMS, NUM_TOKENS)
        seconds = time.perf_counter() - start
        client = time.process_time() - client_before
        after = stack.processes.cpu_seconds()
    num_tokens = NUM_STREAMS * NUM_TOKENS
    spent = {kind: (after[kind] - before[kind]) * 1e6 / num_tokens for kind in after}
    return Sample(
        tokens_per_s=num_tokens / seconds,
        frontend=spent["frontend"],
        tritonserver=sum(spent[kind] for kind in STACK_KINDS if kind != "frontend"),
        engine=spent["engine"],
        client=client * 1e6 / num_tokens,
    )
