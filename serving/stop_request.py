"""Ctrl-C, SIGTERM and SIGHUP as a request that is honoured at the next pause."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE_S = 0.1


class Stopped(Exception):
    """The user asked to stop."""


class StopRequest:
    """Remembers the first signal; a second one calls `on_second`."""

    def __init__(self, on_second: Callable[[], None]) -> None:
        self._requested = threading.Event()
        self._on_second = on_second
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def pause(self) -> None:
        """Sleeps for a moment; raises Stopped if a signal has come."""
        if self._requested.wait(PAUSE_S):
            raise Stopped

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if self._requested.is_set():
            self._on_second()
        self._requested.set()
