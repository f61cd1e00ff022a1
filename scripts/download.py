"""One line on the screen about what uv downloads: how much it is, and how far it got."""

import re
import time
from typing import TextIO

# What uv writes where there is no terminal, for packages of a MiB and more.
BEGUN = re.compile(r"\s*Downloading (\S+) \(([\d.]+)([KMG])iB\)")
FINISHED = re.compile(r"\s*Downloaded (\S+)")
INSTALLED = re.compile(r"Installed (\d+) package")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
WIDTH = 24
CLEAR_LINE = "\r\x1b[K"


class Download:
    """Reads uv's lines; on a terminal the line is redrawn, elsewhere only the sum at the end is told."""

    def __init__(self, screen: TextIO) -> None:
        self._screen = screen
        self._sizes: dict[str, int] = {}
        self._waiting: dict[str, None] = {}
        self._num_installed = 0
        self._start = time.monotonic()

    def read(self, line: str) -> None:
        if found := BEGUN.match(line):
            name, amount, unit = found.groups()
            self._sizes[name] = int(float(amount) * UNITS[unit])
            self._waiting[name] = None
        elif found := FINISHED.match(line):
            self._waiting.pop(found[1], None)
        elif found := INSTALLED.match(line):
            self._num_installed = int(found[1])
        else:
            return
        if self._screen.isatty():
            self._screen.write(f"{CLEAR_LINE}{self._bar()}")
            self._screen.flush()

    def end(self) -> None:
        if self._screen.isatty():
            self._screen.write(CLEAR_LINE)
        if self._num_installed:
            # Old versions of uv tell no sizes.
            size = f", {_megabytes(self._total)} MB downloaded" if self._sizes else ""
            took = f"{time.monotonic() - self._start:.0f} s"
            self._screen.write(f"{self._num_installed} packages installed{size} in {took}\n")
        self._screen.flush()

    @property
    def _total(self) -> int:
        return sum(self._sizes.values())

    def _bar(self) -> str:
        done = self._total - sum(self._sizes[name] for name in self._waiting)
        filled = WIDTH * done // max(self._total, 1)
        awaited = max(self._waiting, key=lambda name: self._sizes[name], default="")
        bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}]"
        return f"downloading {bar} {_megabytes(done)} of {_megabytes(self._total)} MB {awaited}"


def _megabytes(size: int) -> int:
    return round(size / 1e6)
