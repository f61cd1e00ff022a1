import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.errors import Failure
from serving.process import Process
from serving.supervisor import SIGNALS, Stopped, Supervisor


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def python(name: str, code: str, log: Path) -> Process:
    return Process(name, [sys.executable, "-c", code], os.environ, log=log)


def forever(name: str, folder: Path) -> Process:
    return python(name, "import signal; signal.pause()", folder / name)


def test_processes_are_stopped_in_reverse_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Supervisor() as supervisor:
        first, second = forever("first", tmp_path), forever("second", tmp_path)
        supervisor.add(first)
        supervisor.add(second)
    assert capsys.readouterr().out == "stopping second\nstopping first\n"
    assert first.exit_code is not None
    assert second.exit_code is not None


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_the_watch(number: signal.Signals, tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.add(forever("server", tmp_path))
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped):
            supervisor.watch()


def test_a_process_that_dies_ends_the_watch_by_name(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.add(forever("other", tmp_path))
        supervisor.add(python("server", "raise SystemExit(7)", tmp_path / "log"))
        with pytest.raises(Failure, match=r"^server ended with exit code 7"):
            supervisor.watch()


def test_a_process_that_dies_before_it_is_ready(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.add(python("server", "raise SystemExit(7)", tmp_path / "log"))
        with pytest.raises(Failure, match=r"^server ended with exit code 7"):
            supervisor.wait_until(lambda: False, "starting the server")


def test_waiting_ends_when_the_condition_holds() -> None:
    answers = iter([False, False, True])
    with Supervisor() as supervisor:
        supervisor.wait_until(lambda: next(answers), "starting the server")
    assert next(answers, None) is None


def test_a_step_is_waited_for(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.finish(python("build", "print('built')", tmp_path / "log"))
        assert (tmp_path / "log").read_text() == "built\n"


def test_a_failed_step_is_told(tmp_path: Path) -> None:
    with Supervisor() as supervisor, pytest.raises(Failure, match=r"^build ended with exit code 2"):
        supervisor.finish(python("build", "raise SystemExit(2)", tmp_path / "log"))
