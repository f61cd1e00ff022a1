"""Ranks under a stand-in for mpirun: rank 0 is asked to end, and the rest follows it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

LEADER = Path(__file__).parents[3] / "serving" / "node" / "rank_leader.py"
# Starts its ranks as Open MPI does: the number in the environment; ends when all have, with the worst status.
MPIRUN = """
import os, subprocess, sys
rank, size, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ranks = [
    subprocess.Popen(
        [sys.executable, rank, folder, str(number)], env=os.environ | {"OMPI_COMM_WORLD_RANK": str(number)}
    )
    for number in range(size)
]
sys.exit(max(rank.wait() for rank in ranks))
"""
# Rank 0 has a child, as tritonserver has its Python stubs, and ends when it is asked; the others when 0 has.
RANK = """
import pathlib, signal, subprocess, sys, time
folder, rank = pathlib.Path(sys.argv[1]), int(sys.argv[2])
def end(*_):
    (folder / f"asked-{rank}").touch()
    if rank == 0:
        (folder / "left-0").touch()
        sys.exit(0)
signal.signal(signal.SIGTERM, end)
if rank == 0:
    stub = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])
(folder / f"up-{rank}").touch()
while not (folder / "left-0").exists():
    time.sleep(0.01)
"""
DEAF_RANK = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(pathlib.Path(sys.argv[1]) / f"up-{sys.argv[2]}").touch()
time.sleep(600)
"""
SIZE = 3


class Ranks:
    def __init__(self, folder: Path, rank: str, grace_s: int) -> None:
        self._folder = folder
        for name, text in (("mpirun.py", MPIRUN), ("rank.py", rank)):
            (folder / name).write_text(text)
        mpirun = [sys.executable, str(folder / "mpirun.py"), str(folder / "rank.py"), str(SIZE), str(folder)]
        self.leader = subprocess.Popen([sys.executable, str(LEADER), str(grace_s), *mpirun])

    def wait_until_up(self) -> None:
        while len(list(self._folder.glob("up-*"))) < SIZE:
            assert self.leader.poll() is None
            time.sleep(0.01)

    def names(self, pattern: str) -> list[str]:
        return sorted(path.name for path in self._folder.glob(pattern))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for process in processes_of(tmp_path):
        os.kill(process, signal.SIGKILL)


def processes_of(folder: Path) -> list[int]:
    """Every process whose command line names the folder."""
    paths = Path("/proc").glob("[0-9]*/cmdline")
    return [int(path.parent.name) for path in paths if os.fsencode(folder) in _read(path)]


def _read(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_rank_0_alone_is_asked_and_all_leave(folder: Path, number: signal.Signals) -> None:
    ranks = Ranks(folder, RANK, grace_s=60)
    ranks.wait_until_up()
    ranks.leader.send_signal(number)
    assert ranks.leader.wait(30) == 0
    assert ranks.names("asked-*") == ["asked-0"]
    assert not processes_of(folder)


def test_deaf_ranks_are_killed_after_the_grace(folder: Path) -> None:
    ranks = Ranks(folder, DEAF_RANK, grace_s=1)
    ranks.wait_until_up()
    ranks.leader.terminate()
    assert ranks.leader.wait(30) != 0
    assert not processes_of(folder)


def test_a_failing_rank_is_mpiruns_status(folder: Path) -> None:
    ranks = Ranks(folder, "raise SystemExit(7)", grace_s=60)
    assert ranks.leader.wait(30) == 7


def test_mpirun_without_ranks_is_asked_itself(folder: Path) -> None:
    """Before it has started any rank, or where another machine has rank 0."""
    (folder / "mpirun.py").write_text(DEAF_RANK.replace("signal.SIG_IGN", "lambda *_: sys.exit(9)"))
    command = [sys.executable, str(folder / "mpirun.py"), str(folder), "0"]
    leader = subprocess.Popen([sys.executable, str(LEADER), "60", *command])
    while not (folder / "up-0").exists():
        time.sleep(0.01)
    leader.terminate()
    assert leader.wait(30) == 9
