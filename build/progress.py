"""Says what a build is doing: a live bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

Advance = Callable[[int], None]

# What is done sooner is not worth a line of its own.
_TOLD_FROM_S = 5.0
# Between two plain lines of one step.
_LINE_INTERVAL_S = 5.0


class Reporter:
    """Shows steps and remarks on a console."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str, amount: int | None = None, is_bytes: bool = False) -> Iterator[Advance]:
        """Shows a step until the block ends; the yielded function adds to the amount done."""
        started = self._clock()
        if self._console.is_terminal:
            with self._bar(is_bytes) as bar:
                task = bar.add_task(title, total=amount)
                yield lambda done: bar.advance(task, done)
        else:
            self.say(f"{title} ...")
            yield self._lines(amount, is_bytes)
        took = self._clock() - started
        if took >= _TOLD_FROM_S:
            self.say(f"{title}: done in {took:.1f} s")

    def _bar(self, is_bytes: bool) -> Progress:
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn() if is_bytes else TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )

    def _lines(self, amount: int | None, is_bytes: bool) -> Advance:
        done, spoken = 0, self._clock()

        def advance(more: int) -> None:
            nonlocal done, spoken
            done += more
            if amount and self._clock() - spoken >= _LINE_INTERVAL_S:
                spoken = self._clock()
                of = f" of {amount / 1e9:.1f} GB" if is_bytes else ""
                self.say(f"    {100 * done // amount} %{of}")

        return advance
