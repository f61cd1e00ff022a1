"""CPU time of a running stack, by what its processes are for."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

# What a command line says of the process, the first that fits. A stub's names the folder of its model.
_KINDS = {
    "/preprocess/": "preprocess",
    "/postprocess/": "postprocess",
    "engine_host.py": "engine",
    "bin/tritonserver": "tritonserver",
    "-m frontend": "frontend",
}
# The engine is no part of what the stack costs.
STACK_KINDS = ("frontend", "tritonserver", "preprocess", "postprocess")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class StackProcesses:
    """All processes below `root`, the pid of `make serve`, as they are now."""

    def __init__(self, root: int) -> None:
        self._pids = {pid: kind for pid in _descendants(root) if (kind := _kind(pid))}

    def pids(self, kind: str) -> list[int]:
        return [pid for pid, own in self._pids.items() if own == kind]

    def cpu_seconds(self) -> Mapping[str, float]:
        """Kind -> user and system time since its processes began; counted in ticks of 10 ms."""
        seconds = dict.fromkeys((*STACK_KINDS, "engine"), 0.0)
        for pid, kind in self._pids.items():
            user, system = _stat(pid)[11:13]
            seconds[kind] += (int(user) + int(system)) / _TICKS_PER_S
        return seconds

    def memory_mib(self) -> float:
        """Resident memory of the stack and its engine; shared pages count in each process."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids)
        return pages * _PAGE_BYTES / 2**20


def _kind(pid: int) -> str | None:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return next((kind for part, kind in _KINDS.items() if part in command), None)


def _descendants(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # Gone in the meantime.
        with suppress(FileNotFoundError, ProcessLookupError):
            parents[int(folder.name)] = int(_stat(int(folder.name))[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _stat(pid: int) -> list[str]:
    """The fields behind the command's name, which may hold anything (proc_pid_stat(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
