"""Runs mpirun and ends its ranks in order: python rank_leader.py GRACE_S MPIRUN [ARGUMENT ...]

mpirun itself answers SIGTERM by killing every rank after a fixed time, busy or not. Here rank 0 alone
is asked to end: it finishes its requests and unloads the engine, which tells the other ranks to leave.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

PROC = Path("/proc")
# Open MPI's name for a rank's number.
RANK = b"OMPI_COMM_WORLD_RANK="


def main() -> int:
    """Exit status: mpirun's."""
    grace_s, command = int(sys.argv[1]), sys.argv[2:]
    mpirun = subprocess.Popen(command)

    def ask(_: int, __: FrameType | None) -> None:
        signal.alarm(grace_s)
        leader = rank_0(mpirun.pid)
        _send(mpirun.pid if leader is None else leader, signal.SIGTERM)

    def end(_: int, __: FrameType | None) -> None:
        # Collected first: children of a killed process are no longer found below it.
        for pid in [*descendants(mpirun.pid), mpirun.pid]:
            _send(pid, signal.SIGKILL)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGALRM, end)
    status = mpirun.wait()
    return status if status >= 0 else 128 - status


def rank_0(mpirun: int) -> int | None:
    """The process id of rank 0, which mpirun starts on its own machine; None before that."""
    for pid in descendants(mpirun):
        with suppress(OSError):
            # A rank's own children inherit its number, but come behind it.
            if RANK + b"0" in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                return pid
    return None


def descendants(pid: int) -> Iterator[int]:
    """Process ids of children, then of their children, and so on."""
    children: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            # "PID (NAME) STATE PARENT ...", and the name may hold anything.
            parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(folder.name))
    level = [pid]
    while level := [child for parent in level for child in sorted(children.get(parent, []))]:
        yield from level


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main())
