"""What more frontend processes on the one port give, flat out, over the native replay engine."""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.load import ReplayLoad
from scripts.bench.stack import STACK_KINDS, Stack, served

NUM_WORKERS = (1, 2, 4)
# Of a core for each worker, so that a machine with few cores shows what more of them give.
SHARE = 0.1
NUM_SHARING_WORKERS = (1, 2, 4, 8)
NUM_ROUNDS = 3
NUM_STREAMS = 64
NUM_TOKENS = 500
# Of cgroups, version 2 and version 1 (cgroup-v2.rst, scheduler/sched-bwc.rst in the kernel's documentation).
_MOUNTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"))
# Short: a process that has used its part up stands still until the next period.
_PERIOD_US = 10_000

Confine = Callable[[int], None]

HEADING = (
    "Frontend processes, flat out, and with a part of a core each; CPU microseconds per token\n"
    "workers  cores   each  tokens/s (least - most)     gain  frontend  tritonserver  engine  client"
)


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


def find_cgroups(mounts: Sequence[Path] = _MOUNTS) -> Path | None:
    """The folder whose groups limit CPU time; None where there is none, or this user may not write to it."""
    for mount in mounts:
        if os.access(mount, os.W_OK) and (_is_version_1(mount) or _is_version_2(mount)):
            return mount
    return None


@contextmanager
def core_share(cgroups: Path, share: float) -> Iterator[Confine]:
    """Confines processes, by their pids, to so much of a core each; they must have ended when it is left."""
    groups: list[Path] = []
    quota_us = round(_PERIOD_US * share)

    def confine(pid: int) -> None:
        group = cgroups / f"bench-{pid}"
        group.mkdir()
        groups.append(group)
        if _is_version_1(cgroups):
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (group / "cpu.max").write_text(f"{quota_us} {_PERIOD_US}")
        (group / "cgroup.procs").write_text(str(pid))

    try:
        yield confine
    finally:
        for group in groups:
            group.rmdir()


def _is_version_1(mount: Path) -> bool:
    return (mount / "cpu.cfs_quota_us").exists()


def _is_version_2(mount: Path) -> bool:
    controllers = mount / "cgroup.subtree_control"
    return controllers.exists() and "cpu" in controllers.read_text().split()


def line(row: WorkersRow) -> str:
    rates = f"{row.tokens_per_s:9.0f} ({row.least:.0f} - {row.most:.0f})"
    costs = f"{row.frontend:10.0f}{row.tritonserver:14.0f}{row.engine:8.0f}{row.client:8.0f}"
    return f"{row.num_workers:7}{row.num_cores:7}{row.share:7.1f}  {rates:27}{row.gain:5.2f}{costs}"
