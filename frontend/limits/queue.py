"""The line in front of the engine: bounded, first come first served within a key, fair between keys.

Workers have lines of their own and see the heads of the others' in the ledger. When a slot is free all of
them come to the same next request: of the keys that wait, the one that runs the fewest generations; of that
key's requests, the oldest.
"""

import asyncio
import time
from collections import defaultdict, deque

import numpy as np

from frontend.errors import EngineOverloaded
from frontend.limits.ledger import Counts, SharedLedger

_NEVER = np.iinfo(np.int64).max


class Turn:
    """A request's place in the line, then its slots; `weight` is its number of generations."""

    def __init__(self, column: int, weight: int) -> None:
        self.column = column
        self.weight = weight
        self.ticket = time.monotonic_ns()
        self.has_slots = False
        self.came_in_time: asyncio.Future[bool] = asyncio.get_running_loop().create_future()


class FairQueue:
    """Whoever calls `require_room`, `join` or `leave` must hold the lock of the ledger."""

    def __init__(self, ledger: SharedLedger, max_waiting: int) -> None:
        self._ledger = ledger
        self._max_waiting = max_waiting
        self._lines: defaultdict[int, deque[Turn]] = defaultdict(deque)
        self._capacity = 0

    def serve_rung(self) -> None:
        """What to do when another worker rings: its hand-over of free slots."""
        with self._ledger.locked():
            self._serve()

    def require_room(self, weight: int, capacity: int) -> None:
        """Raises EngineOverloaded when neither slots nor places in the line are free."""
        num_waiting = int(self._ledger.waiting.sum())
        if num_waiting + weight <= self._max_waiting:
            return
        if num_waiting or not self._fits(weight, capacity):
            raise EngineOverloaded("The server is busy. Try again later.")

    def join(self, column: int, weight: int, capacity: int) -> Turn:
        """A turn, which may have come already; `capacity` is how many generations may run at once."""
        turn = Turn(column, weight)
        self._capacity = capacity
        self._lines[column].append(turn)
        self._ledger.waiting[self._ledger.worker, column] += weight
        self._show_head(column)
        self._serve()
        return turn

    def leave(self, turn: Turn) -> None:
        """Gives back what the turn holds: its slots or its place in the line."""
        if turn.has_slots:
            self._ledger.running[self._ledger.worker, turn.column] -= turn.weight
        else:
            self._ledger.waiting[self._ledger.worker, turn.column] -= turn.weight
            self._lines[turn.column].remove(turn)
            self._show_head(turn.column)
        self._serve()

    async def wait(self, turn: Turn, timeout_s: float) -> None:
        """Returns when the turn has come; raises EngineOverloaded when it does not in time."""
        if turn.has_slots:
            return
        timer = asyncio.get_running_loop().call_later(timeout_s, _settle, turn, False)
        try:
            if not await turn.came_in_time:
                raise EngineOverloaded(f"The server was too busy to start within {timeout_s:g} s.")
        finally:
            timer.cancel()

    def _serve(self) -> None:
        """Lets in whose turn it is; where that is in another worker's line, tells that worker."""
        ledger = self._ledger
        while (column := self._next_column()) is not None:
            worker = int(self._tickets(column).argmin())
            if not self._fits(int(ledger.head_weight[worker, column]), self._capacity):
                return
            if worker != ledger.worker:
                ledger.ring(worker)
                return
            self._let_in(column)

    def _next_column(self) -> int | None:
        columns = np.flatnonzero(self._ledger.waiting.any(0))
        if not len(columns):
            return None
        num_running = self._ledger.running[:, columns].sum(0)
        columns = columns[num_running == num_running.min()]
        return int(columns[self._tickets(columns).min(0).argmin()])

    def _tickets(self, columns: "int | Counts") -> Counts:
        """Tickets of the requests next in line, by worker."""
        is_waiting = self._ledger.waiting[:, columns] > 0
        return np.where(is_waiting, self._ledger.head_ticket[:, columns], _NEVER)

    def _let_in(self, column: int) -> None:
        turn = self._lines[column].popleft()
        self._ledger.waiting[self._ledger.worker, column] -= turn.weight
        self._ledger.running[self._ledger.worker, column] += turn.weight
        self._show_head(column)
        turn.has_slots = True
        _settle(turn, True)

    def _show_head(self, column: int) -> None:
        if not self._lines[column]:
            del self._lines[column]
            return
        head = self._lines[column][0]
        self._ledger.head_ticket[self._ledger.worker, column] = head.ticket
        self._ledger.head_weight[self._ledger.worker, column] = head.weight

    def _fits(self, weight: int, capacity: int) -> bool:
        # What is larger than the capacity, which may have shrunk, runs when nothing else does.
        return int(self._ledger.running.sum()) + weight <= max(capacity, weight)


def _settle(turn: Turn, came_in_time: bool) -> None:
    # Cancelled when the client has just left: then the turn is about to be given back.
    if not turn.came_in_time.done():
        turn.came_in_time.set_result(came_in_time)
