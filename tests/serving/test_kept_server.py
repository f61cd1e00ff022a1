import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.health import Probe
from serving.kept_server import FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S, KeptServer, Server
from serving.process import Process


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A server of real processes, of which the test says whether they are up and well."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.said: list[str] = []
        self.processes: list[Process] = []
        self.is_up = True
        self.complaint: str | None = None
        self._folder = folder
        server = Server("server", self._start, lambda: self.is_up, self._watch)
        self.kept = KeptServer(server, self.said.append, self.clock)

    def kill(self) -> None:
        """As somebody else would: the kept server is not told."""
        self.processes[-1].kill()

    def tend(self, after_s: float = 0) -> None:
        self.clock.now += after_s
        self.kept.tend()

    def _start(self) -> Process:
        log = self._folder / "log"
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        self.processes.append(Process("server", command, os.environ, log=log))
        return self.processes[-1]

    def _watch(self) -> list[Probe]:
        world = self

        class Said(Probe):
            def complaint(self) -> str | None:
                return world.complaint

        return [Probe(lambda: True, silence_s=60), Said(lambda: True, silence_s=60)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    assert world.kept.is_up()
    yield world
    world.kept.stop()


def test_a_server_in_good_health_is_left_alone(world: World) -> None:
    for _ in range(3):
        world.tend(after_s=100)
    assert (len(world.processes), world.said) == (1, [])


def test_a_dead_server_is_started_again_after_a_pause(world: World) -> None:
    world.kill()
    world.tend()
    assert world.said[0].startswith("server ended with SIGKILL")
    assert world.said[0].endswith("starting server again in 1 s")
    world.tend(after_s=FIRST_PAUSE_S / 2)
    assert len(world.processes) == 1
    world.tend(after_s=FIRST_PAUSE_S)
    assert len(world.processes) == 2
    world.tend()
    assert world.said[1:] == ["server is up again"]
    assert world.kept.exit_code is None


def test_a_server_that_is_not_well_is_killed_and_started_again(world: World) -> None:
    world.complaint = "no answer for 61 s"
    world.tend()
    assert world.processes[0].exit_code == -9
    assert world.said == ["server is not well: no answer for 61 s\nstarting server again in 1 s"]
    world.complaint = None
    world.tend(after_s=FIRST_PAUSE_S)
    assert len(world.processes) == 2


def test_pauses_double_up_to_a_limit_and_it_never_gives_up(world: World) -> None:
    pauses = []
    for _ in range(9):
        world.kill()
        world.tend()
        pauses.append(float(world.said[-1].split()[-2]))
        world.tend(after_s=LONGEST_PAUSE_S)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(world.processes) == 10


def test_a_steady_server_starts_anew_with_the_first_pause(world: World) -> None:
    for _ in range(3):
        world.kill()
        world.tend()
        world.tend(after_s=LONGEST_PAUSE_S)
    world.tend()
    world.tend(after_s=STEADY_S + 1)
    world.kill()
    world.tend()
    assert world.said[-1].endswith("in 1 s")


def test_a_restarted_server_may_take_its_time(world: World) -> None:
    world.is_up = False
    world.kill()
    world.tend()
    for _ in range(5):
        world.tend(after_s=LONGEST_PAUSE_S)
    assert len(world.processes) == 2
    world.is_up = True
    world.tend()
    assert world.said[-1] == "server is up again"


def test_a_server_that_is_down_can_be_stopped(world: World) -> None:
    world.kill()
    world.tend()
    world.kept.stop()
    assert world.kept.exit_code is not None
