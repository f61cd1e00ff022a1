"""How long a generation may take, and the one task that ends those that take longer."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

# A timer per token would cost more than the token; a look at all of them, this often, costs next to nothing.
SWEEP_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds from a request to its first response, between two responses, and from first to last."""

    first_token_s: float
    token_s: float
    total_s: float


class Expiring(Protocol):
    expires_at: float
    """The event loop's time."""

    def expire(self) -> None:
        """Called once or more from then on, until it is discarded."""


class Sweeper:
    """Expires what is past its time, SWEEP_INTERVAL_S late at most; idle while there is nothing to watch."""

    def __init__(self) -> None:
        self._watched: set[Expiring] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, watched: Expiring) -> None:
        self._watched.add(watched)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._sweep())

    def discard(self, watched: Expiring) -> None:
        self._watched.discard(watched)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while self._watched:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            now = loop.time()
            for watched in [item for item in self._watched if now >= item.expires_at]:
                watched.expire()
