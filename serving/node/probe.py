"""Asks a server again and again whether it is well, in a thread of its own, since asking may hang."""

import threading
import time
from collections.abc import Callable

INTERVAL_S = 5.0
# After a bad answer; two in a row are a complaint.
RETRY_S = 1.0


class Sick(Exception):
    """The server answered, and the answer shows a failure that does not pass by itself."""


class Probe:
    """Calls `check` until it is closed: True is well, False is no answer, Sick is raised for a bad one."""

    def __init__(
        self,
        check: Callable[[], bool],
        silence_s: float,
        interval_s: float = INTERVAL_S,
        silence: str = "no answer",
    ) -> None:
        """silence: what a complaint says there was none of."""
        self._check = check
        self._silence_s = silence_s
        self._silence = silence
        self._interval_s = interval_s
        self._is_over = threading.Event()
        self._bad_answers: list[str] = []
        self._last_answer = time.monotonic()
        threading.Thread(target=self._run, daemon=True).start()

    def complaint(self) -> str | None:
        """What is wrong, if it has been wrong for long enough."""
        if len(self._bad_answers) > 1:
            return self._bad_answers[-1]
        silence_s = time.monotonic() - self._last_answer
        return f"{self._silence} for {silence_s:.0f} s" if silence_s > self._silence_s else None

    def close(self) -> None:
        self._is_over.set()

    def _run(self) -> None:
        while not self._is_over.wait(RETRY_S if self._bad_answers else self._interval_s):
            self._ask()

    def _ask(self) -> None:
        try:
            if self._check():
                self._last_answer = time.monotonic()
                self._bad_answers = []
        except Sick as sick:
            self._bad_answers = [*self._bad_answers, str(sick)]
