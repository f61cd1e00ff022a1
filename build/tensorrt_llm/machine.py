"""What this machine has: GPUs, host memory and disk."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from build.gpus import Gpus, detected_gpus

_MEMORY = Path("/proc/meminfo")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Machine:
    """memory_bytes is the host memory that can be had at the moment; free_disk is told of a folder's disk."""

    gpus: Gpus | None
    memory_bytes: int
    free_disk: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free


def this_machine() -> Machine:
    """Raises BuildError when nvidia-smi's GPUs are not all of one kind."""
    return Machine(detected_gpus(), available_memory())


def available_memory(memory: Path = _MEMORY, limit: Path = _CGROUP_LIMIT) -> int:
    """Bytes that the kernel could give out, or this container's limit where that is less."""
    lines = dict(line.split(":", 1) for line in memory.read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(available, int(text)) if text.isdecimal() else available
