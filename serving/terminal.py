"""What the supervisor says; its output may be a full disk, a closed pipe, or one that nobody reads.

The servers are kept whatever becomes of the words about them: a thread writes them, and what can't be
written is lost.
"""

import os
import queue
import sys
import threading
from contextlib import suppress

MAX_WAITING = 1000
# For the last words.
END_S = 1.0


class Terminal:
    """Leaving the context waits until all is written, or can't be."""

    def __init__(self, fd: int = 1) -> None:
        # What was printed before comes before.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        self._fd = fd
        self._lines: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._writer = threading.Thread(target=self._write, name="terminal", daemon=True)
        self._writer.start()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(queue.Full):
            self._lines.put_nowait(None)
        self._writer.join(END_S)

    def say(self, text: str) -> None:
        with suppress(queue.Full):
            self._lines.put_nowait(f"{text}\n")

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            data = line.encode()
            # Not by print: a thread that hangs in it would keep the interpreter from ending.
            with suppress(OSError):
                while data:
                    data = data[os.write(self._fd, data) :]
