"""What must come back to where it was: memory, descriptors, tasks, calls, slots, sequences."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from scripts.failure import Failure

Counts: TypeAlias = Mapping[str, int]

MEMORY = "memory in MiB"
SEQUENCES = "sequences in the engine"
IN_FLIGHT = ("running", "waiting", "calls", SEQUENCES)
# Python's allocator keeps what a burst needed; a leak of 2 KiB a request is more than this after 10,000.
MAX_GROWTH_MIB = 20
STATE = re.compile(r"\bstate (\{.*\})")
REPORT_TIMEOUT_S = 10


class FrontendCounters:
    """Of the frontend process `pid()`, which writes to the log."""

    def __init__(self, pid: Callable[[], int], log: Path) -> None:
        self._pid = pid
        self._log = log

    def read(self) -> Counts:
        pid = self._pid()
        return {**self._reported(pid), "descriptors": _num_descriptors(pid), MEMORY: _rss_mib(pid)}

    def _reported(self, pid: int) -> Counts:
        """The state that the frontend puts into its log when it is asked by a signal."""
        offset = self._log.stat().st_size
        os.kill(pid, signal.SIGUSR1)
        deadline = time.monotonic() + REPORT_TIMEOUT_S
        while time.monotonic() < deadline:
            with self._log.open("rb") as log:
                log.seek(offset)
                if found := STATE.search(log.read().decode(errors="replace")):
                    state: Counts = json.loads(found[1])
                    return state
            time.sleep(0.05)
        raise Failure("the frontend did not report its state")


def engine_sequences(count_file: Path) -> Counts:
    """Those that run or wait in the replay engine, by its own count."""
    return {SEQUENCES: int.from_bytes(count_file.read_bytes(), "little")}


def leaks(before: Counts, after: Counts) -> list[str]:
    """A sentence for each count that is above where it was."""
    return [
        f"{name}: {before[name]} before, {after[name]} after"
        for name in before
        if after[name] - before[name] > (MAX_GROWTH_MIB if name == MEMORY else 0)
    ]


def settled(read: Callable[[], Counts], before: Counts, within_s: float) -> Counts:
    """The counts as soon as none is above `before`, or those at the end of the time."""
    deadline = time.monotonic() + within_s
    while leaks(before, after := read()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return after


def _num_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _rss_mib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
