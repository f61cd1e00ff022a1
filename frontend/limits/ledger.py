"""What the workers of one frontend share: who runs, who waits, what is left of limits, usage, metrics.

One block of memory, made before the workers are forked. A worker writes its own row of the per-worker
tables, so that what it held is known and given back when it dies.
"""

import asyncio
import fcntl
import mmap
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from frontend.errors import EngineOverloaded
from frontend.keys.key import MAX_KEYS, MAX_NAME_BYTES
from frontend.metrics.counters import SharedMetrics

# Signs of life come ten times a second; a worker without one in so long is busy, or gone.
LIVE_S = 0.5
# The lock is held for microseconds. A holder that keeps it for so long is stopped, and is not waited for.
MAX_WAIT_S = 0.2
POLL_S = 50e-6
# Rows of `SharedLedger.usage`.
REQUESTS, REFUSED, PROMPT_TOKENS, COMPLETION_TOKENS = range(4)
USAGE = ("requests", "refused", "prompt_tokens", "completion_tokens")

Counts: TypeAlias = "npt.NDArray[np.int64]"
Levels: TypeAlias = "npt.NDArray[np.float64]"


class SharedLedger:
    """Tables with a column for every key; whoever reads or writes them holds the lock (see `locked`).

    `running`, `waiting`: generations, a row a worker. `head_ticket`, `head_weight`: of the request that is
    next in a worker's line of that key. `levels`, `times`: of requests (row 0) and tokens (row 1), what was
    left of a minute's, and when. `usage`: since the start, its rows as in `USAGE`.
    """

    def __init__(self, num_workers: int = 1) -> None:
        num_rows = 4 * num_workers + len(USAGE) + 2 + 2
        num_bytes = MAX_KEYS * (MAX_NAME_BYTES + 8 * num_rows)
        # A lock on a file, unlike a semaphore, is released by the kernel when its holder is killed.
        self._file = os.memfd_create("ledger")
        os.ftruncate(self._file, num_bytes)
        self._memory = mmap.mmap(self._file, num_bytes)
        self._names = np.frombuffer(self._memory, f"S{MAX_NAME_BYTES}", MAX_KEYS)
        self._offset = self._names.nbytes
        self.running: Counts = self._table(num_workers, np.int64)
        self.waiting: Counts = self._table(num_workers, np.int64)
        self.head_ticket: Counts = self._table(num_workers, np.int64)
        self.head_weight: Counts = self._table(num_workers, np.int64)
        self.usage: Counts = self._table(len(USAGE), np.int64)
        self.levels: Levels = self._table(2, np.float64)
        self.times: Levels = self._table(2, np.float64)
        self._signs_of_life: Levels = np.frombuffer(mmap.mmap(-1, 8 * num_workers), np.float64)
        self._connections: Counts = np.frombuffer(mmap.mmap(-1, 8 * num_workers), np.int64)
        self.metrics = SharedMetrics(num_workers)
        self._columns: dict[str, int] = {}
        self._doorbells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(num_workers)]
        self._patience_s = MAX_WAIT_S
        self.worker = 0

    def attach(self, worker: int) -> None:
        """Makes this process the worker of that index; to be called after the fork, before any request."""
        self.worker = worker
        self.metrics = self.metrics.of_worker(worker)
        self.give_back(worker)

    def show_life(self) -> None:
        """Tells whoever watches the workers that this one's event loop runs."""
        self._signs_of_life[self.worker] = time.monotonic()

    def last_sign_of_life(self, worker: int) -> float:
        """The time of the worker's last, by the monotonic clock; 0: there was none."""
        return float(self._signs_of_life[worker])

    def show_connections(self, num_connections: int) -> None:
        """Tells the other workers how many this one has."""
        self._connections[self.worker] = num_connections

    def is_ahead(self) -> bool:
        """Whether another worker, one whose event loop turns, has fewer connections."""
        is_live = self._signs_of_life > time.monotonic() - LIVE_S
        return bool((self._connections[is_live] < self._connections[self.worker]).any())

    def give_back(self, worker: int) -> None:
        """Frees all that the worker held: for whoever sees that it has died."""
        with self.locked():
            for table in (self.running, self.waiting, self.head_ticket, self.head_weight):
                table[worker] = 0
        for index in range(len(self._doorbells)):
            self.ring(index)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps the other workers out; for microseconds, and never across an await.

        A worker that is stopped while it holds the lock (by a debugger, or a machine that swaps) must not
        stop the others: they go on without it. A count may be lost, as that worker writes on what it read.
        """
        deadline = time.monotonic() + self._patience_s
        while not (is_locked := self._try_lock()) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        self._patience_s = MAX_WAIT_S if is_locked else 0.0
        try:
            yield
        finally:
            if is_locked:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _try_lock(self) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def column(self, name: str) -> int:
        """The column of the key of this name, which is made at its first request."""
        data = name.encode()
        column = self._columns.get(name)
        if column is None or self._names[column] != data:
            found = np.flatnonzero(self._names == data)
            column = int(found[0]) if len(found) else self._new_column(data)
            self._columns[name] = column
        return column

    def usage_by_key(self) -> dict[str, dict[str, int]]:
        """Key's name -> what it used since the start, in all workers; for metrics."""
        with self.locked():
            named = np.flatnonzero(self._names != b"")
            names = [bytes(name).decode() for name in self._names[named]]
            counts = self.usage[:, named].T.tolist()
        return {name: dict(zip(USAGE, row, strict=True)) for name, row in zip(names, counts, strict=True)}

    @property
    def num_running(self) -> int:
        """Generations of all workers, as far as can be seen without the lock."""
        return int(self.running.sum())

    def load(self) -> tuple[int, int]:
        """Generations that run and that wait, in all workers; for metrics."""
        with self.locked():
            return int(self.running.sum()), int(self.waiting.sum())

    def ring(self, worker: int) -> None:
        """Tells a worker that the next request in one of its lines may run."""
        # A doorbell that nobody answers is full after 2**64 - 2 rings.
        with suppress(BlockingIOError):
            os.eventfd_write(self._doorbells[worker], 1)

    def listen(self, callback: Callable[[], None]) -> None:
        """Calls back on the running event loop whenever this worker is rung."""
        doorbell = self._doorbells[self.worker]

        def answer() -> None:
            with suppress(BlockingIOError):
                os.eventfd_read(doorbell)
            callback()

        asyncio.get_running_loop().add_reader(doorbell, answer)

    def stop_listening(self) -> None:
        asyncio.get_running_loop().remove_reader(self._doorbells[self.worker])

    def _table(self, num_rows: int, dtype: type[np.generic]) -> "npt.NDArray[Any]":
        table = np.frombuffer(self._memory, dtype, num_rows * MAX_KEYS, self._offset)
        self._offset += table.nbytes
        return table.reshape(num_rows, MAX_KEYS)

    def _new_column(self, name: bytes) -> int:
        """An unused one or, when there is none, that of the idle key whose last request is longest ago."""
        is_idle = (self.running.sum(0) == 0) & (self.waiting.sum(0) == 0)
        if not is_idle.any():
            raise EngineOverloaded("Too many keys are in use at once.")
        last_use = np.where(self._names == b"", -1.0, self.times[0])
        column = int(np.where(is_idle, last_use, np.inf).argmin())
        self.usage[:, column] = 0
        self.levels[:, column] = self.times[:, column] = 0
        self._names[column] = name
        return column
