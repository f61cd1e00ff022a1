"""A server that is started again when it dies or is not well any more."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serving.health import Probe
from serving.process import Process

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
# After this time in good health the next death is a new misfortune, not the same one again.
STEADY_S = 60.0


@dataclass(frozen=True)
class Server:
    """How to start it, how to see that it is up, and how to see whether it still is well."""

    name: str
    start: Callable[[], Process]
    is_up: Callable[[], bool]
    watch: Callable[[], Sequence[Probe]]


class KeptServer:
    """Starts the server at once; `tend` restarts it, without end, after pauses that double up to a minute."""

    def __init__(
        self, server: Server, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = server.name
        self._server = server
        self._say = say
        self._clock = clock
        self._process = server.start()
        self._probes: Sequence[Probe] = ()
        self._is_down = False
        self._pause_s = FIRST_PAUSE_S
        self._next_start = 0.0
        self._up_since = 0.0

    @property
    def exit_code(self) -> int | None:
        return self._process.exit_code

    def is_up(self) -> bool:
        """Whether it has come up; from then on it is watched."""
        if not self._probes and not self._is_down and self._server.is_up():
            self._probes = self._server.watch()
            self._up_since = self._clock()
        return bool(self._probes)

    def epitaph(self) -> str:
        return self._process.epitaph()

    def stop(self) -> None:
        self._end_watch()
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def tend(self) -> None:
        """To be called again and again."""
        if self._is_down:
            self._start_when_due()
        elif self._process.exit_code is not None:
            self._take_down(self._process.epitaph())
        elif not self._probes:
            if self.is_up():
                self._say(f"{self.name} is up again")
        elif complaints := [told for probe in self._probes if (told := probe.complaint())]:
            self._take_down(f"{self.name} is not well: {complaints[0]}")
        elif self._clock() - self._up_since > STEADY_S:
            self._pause_s = FIRST_PAUSE_S

    def _take_down(self, reason: str) -> None:
        self._end_watch()
        self._process.kill()
        self._say(f"{reason}\nstarting {self.name} again in {self._pause_s:g} s")
        self._is_down = True
        self._next_start = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _start_when_due(self) -> None:
        if self._clock() >= self._next_start:
            self._process = self._server.start()
            self._is_down = False

    def _end_watch(self) -> None:
        for probe in self._probes:
            probe.close()
        self._probes = ()
