"""How many threads can compute at the same time."""

import math
import os
from pathlib import Path

_SYSTEM = Path("/sys")


def count_usable_cores(system: Path = _SYSTEM) -> int:
    """Cores that this process may run on, those that share their units counted once; a container's quota of
    CPU time (cgroup v2) is the most.
    """
    cores = {_siblings(system, number) for number in os.sched_getaffinity(0)}
    return max(min(len(cores), _quota(system)), 1)


def _siblings(system: Path, number: int) -> str:
    try:
        return (system / f"devices/system/cpu/cpu{number}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(number)


def _quota(system: Path) -> int:
    try:
        quota, period = (system / "fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        # There is none, or it is "max".
        return os.cpu_count() or 1
