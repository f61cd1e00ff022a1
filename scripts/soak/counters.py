"""What must come back to where it was: memory, descriptors, tasks, calls, slots, sequences."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from build.errors import Failure
from scripts.bench.stack import children, memory_bytes

Counts: TypeAlias = Mapping[str, int]

WORKERS = "workers"
ENDED = "workers that ended"
MEMORY = "memory in MiB"
SEQUENCES = "sequences in the engine"
IN_FLIGHT = ("running", "waiting", "calls", SEQUENCES)
# Of a worker: the allocator keeps what a burst needed; a leak of 2 KiB a request is more after 10,000.
MAX_GROWTH_MIB = 20
STATE = re.compile(r"\bstate of worker (\d+): (\{.*\})")
REPORT_TIMEOUT_S = 30
ASK_AGAIN_S = 2


class FrontendCounters:
    """Sums over the workers of the frontend `pid()`, which write to the log, and that process itself."""

    def __init__(self, pid: Callable[[], int], num_workers: int, log: Path) -> None:
        self._pid = pid
        self._num_workers = num_workers
        self._log = log
        self._first_pids: set[int] = set()

    def read(self, timeout_s: float = REPORT_TIMEOUT_S) -> Counts:
        """Raises Failure when a worker does not report its state."""
        reports = self._reported(self._pid(), timeout_s)
        pids = {self._pid(), *children(self._pid(), "frontend")}
        self._first_pids = self._first_pids or pids
        return {
            WORKERS: len(reports),
            ENDED: len(self._first_pids - pids),
            **{name: sum(report[name] for report in reports) for name in reports[0]},
            "descriptors": sum(map(_num_descriptors, pids)),
            MEMORY: sum(memory_bytes(pid) // 2**20 for pid in pids),
        }

    def _reported(self, pid: int, timeout_s: float) -> list[Counts]:
        """The states that the workers put into their log when they are asked by a signal."""
        offset = self._log.stat().st_size
        deadline = time.monotonic() + timeout_s
        reports: dict[str, Counts] = {}
        while time.monotonic() < deadline:
            # Passed on to the workers there are; one that has just begun does not listen yet.
            os.kill(pid, signal.SIGUSR1)
            ask_again = time.monotonic() + ASK_AGAIN_S
            while time.monotonic() < ask_again:
                reports = self._reports_behind(offset)
                if len(reports) == self._num_workers:
                    return list(reports.values())
                time.sleep(0.05)
        raise Failure(f"{len(reports)} of {self._num_workers} workers reported their state")

    def _reports_behind(self, offset: int) -> dict[str, Counts]:
        with self._log.open("rb") as log:
            log.seek(offset)
            found = STATE.findall(log.read().decode(errors="replace"))
        return {worker: json.loads(state) for worker, state in found}


def leaks(before: Counts, after: Counts) -> list[str]:
    """A sentence for each count that is above where it was."""
    allowed = {MEMORY: MAX_GROWTH_MIB * before[WORKERS]}
    return [
        f"{name}: {before[name]} before, {after[name]} after"
        for name in before
        if after[name] - before[name] > allowed.get(name, 0)
    ]


def settled(read: Callable[[], Counts], before: Counts, within_s: float) -> Counts:
    """The counts as soon as none is above `before`, or those at the end of the time."""
    deadline = time.monotonic() + within_s
    while leaks(before, after := read()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return after


def _num_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
