"""The frontend, sabotaged: `python -m tests.scripts.soak.leaking_frontend HOW` leaks or lies now and then."""

import asyncio
import itertools
import os
import sys
import time
from typing import Any

from frontend import __main__ as frontend
from frontend.api.sse import EventStream
from frontend.limits.gate import Slots
from frontend.middleware.request_id import RequestId
from scripts.soak.counters import MAX_GROWTH_MIB

EVERY = 5
held: list[Any] = []
occasions = itertools.count(1)
ends = itertools.count(1)


def is_due() -> bool:
    return next(occasions) % EVERY == 0


def leak_memory() -> None:
    """By the clock, more at once than is allowed in all, for a slow machine sees few requests."""
    answer, held_until = RequestId.__call__, [0.0]

    async def leaking(*arguments: Any) -> None:
        if time.monotonic() > held_until[0]:
            held_until[0] = time.monotonic() + 1
            held.append(b"x" * (5 * MAX_GROWTH_MIB // 2 * 2**20))
        await answer(*arguments)

    RequestId.__call__ = leaking  # type: ignore[method-assign]


def tasks() -> None:
    held.append(asyncio.ensure_future(asyncio.Event().wait()))


def descriptors() -> None:
    held.append(os.open(os.devnull, os.O_RDONLY))


def crash() -> None:
    raise RuntimeError("not validated")


def end() -> None:
    # Not among the first, so that there is somebody to be missed.
    if next(ends) > 10:
        os._exit(1)


def leak_at_requests(leak: Any) -> None:
    answer = RequestId.__call__

    async def leaking(*arguments: Any) -> None:
        if is_due():
            leak()
        await answer(*arguments)

    RequestId.__call__ = leaking  # type: ignore[method-assign]


def keep_slots() -> None:
    leave = Slots._leave

    def leaking(slots: Slots, *, is_told: bool) -> None:
        if not is_due():
            leave(slots, is_told=is_told)

    Slots._leave = leaking  # type: ignore[method-assign]


def change_events(times: int, marked: bytes) -> None:
    """Sends the events that hold these bytes so many times, when it is due."""
    push = EventStream.push

    def changed(stream: EventStream, data: bytes) -> None:
        for _ in range(times if marked in data and is_due() else 1):
            push(stream, data)

    EventStream.push = changed  # type: ignore[method-assign]


SABOTAGES = {
    "nothing": lambda: None,
    "memory": leak_memory,
    "tasks": lambda: leak_at_requests(tasks),
    "descriptors": lambda: leak_at_requests(descriptors),
    "running": keep_slots,
    "ended": lambda: leak_at_requests(end),
    "crash": lambda: leak_at_requests(crash),
    "lost": lambda: change_events(0, b'"text":'),
    "doubled": lambda: change_events(2, b'"text":'),
    "silent": lambda: change_events(0, b"[DONE]"),
}

if __name__ == "__main__":
    SABOTAGES[sys.argv[1]]()
    frontend.main()
