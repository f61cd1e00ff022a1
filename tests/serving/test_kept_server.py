import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.errors import Failure
from serving.health import Probe
from serving.kept_server import FIRST_PAUSE_S, LONGEST_PAUSE_S, NAP_S, STEADY_S, KeptServer, Server
from serving.process import Process

START_S = 20


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
        self.num_running = 0
        self.anew = 0
        self._server = Server(
            *("server", self._start, lambda: self.is_up, self._watch, START_S),
            num_running=lambda: self.num_running,
        )
        self.kept = self.another()

    def another(self) -> KeptServer:
        return KeptServer(self._server, self.said.append, self.clock)

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

    def _watch(self, process: Process) -> list[Probe]:
        assert process is self.processes[-1]
        world = self

        class Said(Probe):
            def complaint(self) -> str | None:
                return world.complaint

            def begin_anew(self) -> None:
                world.anew += 1

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
    assert world.said[0].endswith("starting server again in 0.2 s")
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
    assert world.said == ["server is not well: no answer for 61 s\nstarting server again in 0.2 s"]
    world.complaint = None
    world.tend(after_s=FIRST_PAUSE_S)
    assert len(world.processes) == 2


def test_a_kill_says_what_it_costs(world: World) -> None:
    world.complaint, world.num_running = "no answer for 61 s", 12
    world.tend()
    assert world.said[0].startswith("server is not well: no answer for 61 s; 12 generations were running\n")


def test_a_server_that_does_not_come_up_is_started_again(world: World) -> None:
    world.kill()
    world.tend()
    world.is_up = False
    for _ in range(2 * START_S):
        world.tend(after_s=1)
    assert len(world.processes) == 3
    assert world.processes[1].exit_code == -9
    assert world.said[1].startswith(f"server has not come up in {START_S + 1} s; from its log")


def test_a_server_that_never_comes_up_is_told_and_not_tried_again(world: World) -> None:
    world.is_up = False
    kept = world.another()
    for _ in range(START_S):
        world.clock.now += 1
        kept.tend()
    world.clock.now += 1
    with pytest.raises(Failure, match=f"server has not come up in {START_S + 1} s; from its log"):
        kept.tend()
    assert kept.exit_code == -9


def test_a_server_that_dies_before_it_was_up_is_told_and_not_tried_again(world: World) -> None:
    world.is_up = False
    kept = world.another()
    world.kill()
    with pytest.raises(Failure, match="server ended with SIGKILL; from its log"):
        kept.tend()


def test_whoever_slept_himself_forgets_the_silence(world: World) -> None:
    for _ in range(3):
        world.tend(after_s=NAP_S - 1)
    assert world.anew == 0
    world.tend(after_s=100)
    assert world.anew == 1
    world.kill()
    world.tend()
    world.is_up = False
    world.tend(after_s=1)
    world.tend(after_s=2 * START_S)
    assert len(world.processes) == 2


def test_pauses_double_up_to_a_limit_and_it_never_gives_up(world: World) -> None:
    pauses = []
    for _ in range(11):
        world.kill()
        world.tend()
        pauses.append(float(world.said[-1].split()[-2]))
        world.tend(after_s=LONGEST_PAUSE_S)
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60, 60]
    assert len(world.processes) == 12


def test_a_steady_server_starts_anew_with_the_first_pause(world: World) -> None:
    for _ in range(3):
        world.kill()
        world.tend()
        world.tend(after_s=LONGEST_PAUSE_S)
    world.tend()
    world.tend(after_s=STEADY_S + 1)
    world.kill()
    world.tend()
    assert world.said[-1].endswith("in 0.2 s")


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
