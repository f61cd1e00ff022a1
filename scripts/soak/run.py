"""One soak: a warm-up, the load with its faults, and the counts before and after."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from scripts.soak.counters import IN_FLIGHT, Counts, leaks, settled
from scripts.soak.scenarios import Soak, client

NUM_CLIENTS = 24
SETTLE_S = 60
# Of the time; caches and pools reach their size in it.
WARM_UP = 0.2

Companion: TypeAlias = Callable[[Soak, float], Awaitable[None]]
"""What runs until a time of the event loop."""


@dataclass(frozen=True)
class Outcome:
    before: Counts
    after: Counts
    complaints: list[str]


async def run(
    soak: Soak,
    read: Callable[[], Counts],
    duration_s: float,
    disturb: Callable[[], Awaitable[None]] | None = None,
    settle_s: float = SETTLE_S,
    companions: Sequence[Companion] = (),
) -> Outcome:
    """`companions` are a part of the load; `disturb` runs beside it after the warm-up, until its end."""
    await _load(soak, companions, WARM_UP * duration_s)
    before = await asyncio.to_thread(_quiet, read, settle_s)
    disturbing = asyncio.ensure_future(disturb()) if disturb is not None else None
    await _load(soak, companions, (1 - WARM_UP) * duration_s)
    await _end(soak, disturbing)
    after = await asyncio.to_thread(settled, read, before, settle_s)
    return Outcome(before, after, [*leaks(before, after), *soak.broken])


async def _load(soak: Soak, companions: Sequence[Companion], duration_s: float) -> None:
    until = asyncio.get_running_loop().time() + duration_s
    clients = [client(soak, until) for _ in range(NUM_CLIENTS)]
    await asyncio.gather(*clients, *(companion(soak, until) for companion in companions))


def _quiet(read: Callable[[], Counts], settle_s: float) -> Counts:
    """The counts once nothing runs any more."""
    idle = {name: 0 if name in IN_FLIGHT else count for name, count in read().items()}
    return settled(read, idle, settle_s)


async def _end(soak: Soak, disturbing: "asyncio.Future[None] | None") -> None:
    if disturbing is None:
        return
    over = asyncio.ensure_future(soak.outages.wait_until_over())
    await asyncio.wait({disturbing, over}, return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    disturbing.cancel()
    with suppress(asyncio.CancelledError):
        await disturbing
