"""Starts processes, waits for them, keeps servers running, and stops all in reverse order."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from build.errors import INTERRUPTED, Failure
from serving.kept_server import KeptServer, Server
from serving.process import Process

REPORT_EVERY_S = 10.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE_S = 0.1


def write(text: str) -> None:
    print(text, flush=True)


class Stopped(Exception):
    """The user asked to stop."""


class Supervisor:
    """The processes of one run; leaving the context stops them all.

    Ctrl-C, SIGTERM and SIGHUP are honoured at the next pause; a second one kills at once.
    """

    def __init__(self, say: Callable[[str], None] = write) -> None:
        self._say = say
        self._processes: list[Process | KeptServer] = []
        self._is_stop_requested = threading.Event()
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in reversed(self._processes):
            if process.exit_code is None:
                self._say(f"stopping {process.name}")
            process.stop()
        if kind is Stopped:
            self._say("stopped")

    def add(self, process: Process) -> None:
        """Takes charge of a process that has just been started."""
        self._processes.append(process)

    def keep(self, server: Server, what: str) -> None:
        """Starts a server and waits until it is up; fails when it dies before, and restarts it later."""
        kept = KeptServer(server, say=self._say)
        self._processes.append(kept)
        self.wait_until(kept.is_up, what)

    def finish(self, process: Process) -> None:
        """Waits for a process that is to end by itself, with success."""
        self.add(process)
        while process.exit_code is None:
            self._pause()
        self._processes.remove(process)
        process.kill()
        if process.exit_code:
            raise Failure(process.epitaph())

    def wait_until(self, is_ready: Callable[[], bool], what: str) -> None:
        """Waits for the condition, and shows that it does; fails when a process dies that is not kept."""
        start = last_report = time.monotonic()
        self._say(what)
        while not is_ready():
            self._tend()
            self._pause()
            now = time.monotonic()
            if now - last_report >= REPORT_EVERY_S:
                last_report = now
                self._say(f"{what}: {now - start:.0f} s")

    def watch(self) -> None:
        """Returns never: raises Stopped on request, or Failure when a process dies that is not kept."""
        while True:
            self._tend()
            self._pause()

    def _tend(self) -> None:
        for process in self._processes:
            if isinstance(process, KeptServer):
                process.tend()
            elif process.exit_code is not None:
                raise Failure(process.epitaph())

    def _pause(self) -> None:
        """Sleeps for a moment; raises Stopped if a signal has come."""
        if self._is_stop_requested.wait(PAUSE_S):
            raise Stopped

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_stop_requested.is_set():
            for process in self._processes:
                process.kill()
            os._exit(INTERRUPTED)
        self._is_stop_requested.set()
