"""What more frontend processes on the one port give, flat out, over the native replay engine."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.parts.core_share import core_share, find_cgroups
from scripts.bench.process_cpu import STACK_KINDS
from scripts.bench.replay_load import ReplayLoad
from scripts.bench.stack import Stack, served

NUM_WORKERS = (1, 2, 4)
# Of a core for each worker, so that a machine with few cores shows what more of them give.
SHARE = 0.1
NUM_SHARING_WORKERS = (1, 2, 4, 8)
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
    share: float
    """Of a core, that a worker may use."""
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
    """Each round starts a stack for each number of workers, so that all see the same machine.

    Once with whole cores, and where this user may make cgroups with a part of one for each worker.
    """
    yield from _measure(NUM_WORKERS, None)
    if cgroups := find_cgroups():
        yield from _measure(NUM_SHARING_WORKERS, cgroups)


def _measure(numbers: Sequence[int], cgroups: Path | None) -> list[WorkersRow]:
    rounds = [[_sample(num_workers, cgroups) for num_workers in numbers] for _ in range(NUM_ROUNDS)]
    return rows(numbers, SHARE if cgroups else 1, rounds)


def rows(numbers: Sequence[int], share: float, rounds: Sequence[Sequence[Sample]]) -> list[WorkersRow]:
    """A round has a sample for each number of workers, the first of which is 1."""
    samples = list(zip(*rounds, strict=True))
    alone = statistics.median(sample.tokens_per_s for sample in samples[0])
    return [_row(number, share, own, alone) for number, own in zip(numbers, samples, strict=True)]


def _row(num_workers: int, share: float, samples: Sequence[Sample], alone: float) -> WorkersRow:
    rates = [sample.tokens_per_s for sample in samples]
    return WorkersRow(
        num_workers=num_workers,
        num_cores=len(os.sched_getaffinity(0)),
        share=share,
        tokens_per_s=statistics.median(rates),
        least=min(rates),
        most=max(rates),
        gain=statistics.median(rates) / alone,
        frontend=statistics.median(sample.frontend for sample in samples),
        tritonserver=statistics.median(sample.tritonserver for sample in samples),
        engine=statistics.median(sample.engine for sample in samples),
        client=statistics.median(sample.client for sample in samples),
    )


def _sample(num_workers: int, cgroups: Path | None) -> Sample:
    variables = {"WORKERS": str(num_workers), "MAX_CONCURRENT_REQUESTS": str(NUM_STREAMS)}
    with ExitStack() as context:
        confine = context.enter_context(core_share(cgroups, SHARE)) if cgroups else None
        stack = context.enter_context(served(ENGINE="native-replay", **variables))
        load = ReplayLoad(stack)
        # Every worker learns the bytes of the ids, and its connections are made.
        load.stream(NUM_STREAMS, 20)
        if confine:
            for pid in stack.processes.pids("frontend"):
                confine(pid)
        return _flat_out(stack, load)


def _flat_out(stack: Stack, load: ReplayLoad) -> Sample:
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
