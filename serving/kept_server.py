"""A server that is started again when it dies, is not well any more, or does not come up."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from build.errors import Failure
from serving.health import Watch
from serving.process import Process

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 60.0
# After this time in good health the next death is a new misfortune, not the same one again.
STEADY_S = 10.0
# It is tended ten times a second. Whoever was not for so long was stopped himself, with all that he watches:
# a frozen container, a laptop that slept.
NAP_S = 5.0


@dataclass(frozen=True)
class Server:
    """How to start it, how to see that it is up, and how to see whether it still is well."""

    name: str
    start: Callable[[], Process]
    is_up: Callable[[], bool]
    watch: Callable[[Process], Sequence[Watch]]
    start_s: float
    """What coming up may take."""
    num_running: Callable[[], int] = lambda: 0
    """Generations that its death costs."""


class KeptServer:
    """Starts the server at once; `tend` restarts it, without end, after pauses that double up to a minute.

    One that never came up is not started again: nobody wants a wrong setting tried for ever.
    """

    def __init__(
        self, server: Server, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = server.name
        self._server = server
        self._say = say
        self._clock = clock
        self._process = server.start()
        self._started_at = self._tended_at = clock()
        self._watches: Sequence[Watch] = ()
        self._is_down = False
        self._was_up = False
        self._pause_s = FIRST_PAUSE_S
        self._next_start = 0.0
        self._up_since = 0.0

    @property
    def exit_code(self) -> int | None:
        return self._process.exit_code

    def is_up(self) -> bool:
        """Whether it has come up; from then on it is watched."""
        is_awaited = not self._watches and not self._is_down and self._process.exit_code is None
        if is_awaited and self._server.is_up():
            self._watches = self._server.watch(self._process)
            self._up_since = self._clock()
            self._was_up = True
        return bool(self._watches)

    def stop(self) -> None:
        self._end_watch()
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()

    def tend(self) -> None:
        """To be called again and again; raises Failure when it ends before it was ever up."""
        self._notice_a_nap()
        if self._is_down:
            self._start_when_due()
        elif self._process.exit_code is not None:
            self._take_down(self._process.epitaph())
        elif not self._watches:
            self._await_up()
        elif complaints := [told for watch in self._watches if (told := watch.complaint())]:
            self._take_down(f"{self.name} is not well: {complaints[0]}")
        elif self._clock() - self._up_since > STEADY_S:
            self._pause_s = FIRST_PAUSE_S

    def _notice_a_nap(self) -> None:
        before, self._tended_at = self._tended_at, self._clock()
        if self._tended_at - before > NAP_S:
            self._started_at += self._tended_at - before
            for watch in self._watches:
                watch.begin_anew()

    def _await_up(self) -> None:
        if self.is_up():
            if self._next_start:
                self._say(f"{self.name} is up again")
        elif (waited_s := self._clock() - self._started_at) > self._server.start_s:
            self._take_down(f"{self.name} has not come up in {waited_s:.0f} s; {self._process.told()}")

    def _take_down(self, reason: str) -> None:
        num_running = self._server.num_running()
        cost = f"; {num_running} generations were running" if num_running else ""
        self._end_watch()
        self._process.kill()
        if not self._was_up:
            raise Failure(reason)
        self._say(f"{reason}{cost}\nstarting {self.name} again in {self._pause_s:g} s")
        self._is_down = True
        self._next_start = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _start_when_due(self) -> None:
        if self._clock() >= self._next_start:
            self._process = self._server.start()
            self._started_at = self._clock()
            self._is_down = False

    def _end_watch(self) -> None:
        for watch in self._watches:
            watch.close()
        self._watches = ()
