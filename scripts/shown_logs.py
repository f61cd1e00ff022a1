"""Shows what a person must see of the servers' logs: warnings and errors, or with VERBOSE=1 everything."""

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from serving.process import ERROR, NOISE

EVERY_S = 0.5
# A failure may write thousands of lines a second.
MAX_LINES = 10
# The frontend's lines, and tritonserver's.
WARNING = re.compile(r"\d{4}-\d\d-\d\d \S+ (?:WARNING|ERROR|CRITICAL) |[WE]\d{4} ")


class ShownLogs:
    """Follows logs in a thread of its own, also when a server that starts again begins a new file."""

    def __init__(self, paths: Sequence[Path], shows_all: bool, say: Callable[[str], None]) -> None:
        self._logs = [_Log(path, shows_all, say) for path in paths]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ShownLogs":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        for log in self._logs:
            log.close()

    def _run(self) -> None:
        while not self._is_over.wait(EVERY_S):
            self.show()
        self.show()

    def show(self) -> None:
        for log in self._logs:
            log.show()


class _Log:
    def __init__(self, path: Path, shows_all: bool, say: Callable[[str], None]) -> None:
        self._path = path
        self._shows_all = shows_all
        self._say = say
        self._file: IO[str] | None = None
        # What lies there from an earlier run is not this run's.
        self._old = _inode(path)

    def show(self) -> None:
        lines = self._read()
        if _inode(self._path) not in (self._old, None):
            # What the old file still got was read just now.
            self._old = _inode(self._path)
            self.close()
            self._file = self._path.open(encoding="utf-8", errors="replace")
            lines += self._read()
        shown = [line for line in lines if self._shows_all or _is_warning(line)]
        for line in shown if self._shows_all else shown[:MAX_LINES]:
            self._say(line)
        if not self._shows_all and len(shown) > MAX_LINES:
            self._say(f"and {len(shown) - MAX_LINES} lines more in {self._path}")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> list[str]:
        return [] if self._file is None else self._file.read().splitlines()


def _is_warning(line: str) -> bool:
    return bool(WARNING.match(line) or ERROR.match(line)) and not NOISE.search(line)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
