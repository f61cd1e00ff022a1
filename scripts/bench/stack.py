"""The whole stack, started for measurements: what `make serve` starts, on free ports, and its processes."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from build.paths import LOGS
from serving import engine, ports
from serving import settings as serve_settings
from serving.health import TritonHealth, frontend_answers
from serving.process import Process
from serving.supervisor import Supervisor

HOST = "127.0.0.1"
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
        """Resident memory of the stack and its engine."""
        return sum(map(memory_bytes, self._pids)) / 2**20


@dataclass(frozen=True)
class Stack:
    """A stack that answers."""

    port: int
    grpc_address: str
    model: str
    pid: int
    """Of `make serve`."""
    processes: StackProcesses


@contextmanager
def served(log: str = "bench.log", **variables: str) -> Iterator[Stack]:
    """A stack with these variables of make; raises Stopped when it does not come up."""
    environment = os.environ | variables
    environment["SETTINGS_FILE"] = os.devnull
    environment |= {"PORT": str(ports.free()), "TRITON_GRPC_PORT": str(ports.free()), "HOST": HOST}
    settings = serve_settings.read(environment)
    with Supervisor() as supervisor:
        command = [sys.executable, "-m", "scripts.serve"]
        process = Process("make serve", command, environment, log=LOGS / log, grace_s=60)
        supervisor.add(process)
        supervisor.wait_until(lambda: frontend_answers(settings.url, "/health/ready"), "starting the stack")
        model = TritonHealth(settings.grpc_address).served_model_name()
        processes = StackProcesses(process.pid)
        yield Stack(settings.port, settings.grpc_address, model, process.pid, processes)


def engine_folder() -> Path:
    """Of the engine that is served."""
    return engine.choose(os.environ).folder


def built_engine() -> Path:
    """Its folder, for what reads it without a stack: as `make serve` would have built it; raises Failure."""
    chosen = engine.choose(os.environ)
    with Supervisor() as supervisor:
        engine.bring_up_to_date(chosen, supervisor)
    return chosen.folder


def children(pid: int, part_of_command: str) -> list[int]:
    """Living children of the process whose command line has that part."""
    found = []
    for child, parent in _parents().items():
        # Gone in the meantime.
        with suppress(FileNotFoundError, ProcessLookupError):
            if parent == pid and part_of_command in _command(child):
                found.append(child)
    return found


def memory_bytes(pid: int) -> int:
    """Resident memory of a process; shared pages count in each."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _kind(pid: int) -> str | None:
    command = _command(pid)
    return next((kind for part, kind in _KINDS.items() if part in command), None)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _descendants(root: int) -> list[int]:
    parents = _parents()
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _parents() -> dict[int, int]:
    """Process -> its parent."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        # Gone in the meantime.
        with suppress(FileNotFoundError, ProcessLookupError):
            parents[int(folder.name)] = int(_stat(int(folder.name))[1])
    return parents


def _stat(pid: int) -> list[str]:
    """The fields behind the command's name, which may hold anything (proc_pid_stat(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
