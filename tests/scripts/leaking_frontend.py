"""The frontend, sabotaged: `python -m tests.scripts.leaking_frontend HOW` leaks or lies now and then."""

import asyncio
import itertools
import os
import sys
from typing import Any

from frontend import __main__ as frontend
from frontend.event_stream import EventStream
from frontend.gate import Slots
from frontend.request_id import RequestId

EVERY = 5
held: list[Any] = []
occasions = itertools.count(1)


def is_due() -> bool:
    return next(occasions) % EVERY == 0


def memory() -> None:
    # Much at a time, for a slow machine sees few requests.
    held.append(b"x" * (6 * 2**20))


def tasks() -> None:
    held.append(asyncio.ensure_future(asyncio.Event().wait()))


def descriptors() -> None:
    held.append(os.open(os.devnull, os.O_RDONLY))


def leak_at_requests(leak: Any) -> None:
    answer = RequestId.__call__

    async def leaking(*arguments: Any) -> None:
        if is_due():
            leak()
        await answer(*arguments)

    RequestId.__call__ = leaking  # type: ignore[method-assign]


def keep_slots() -> None:
    leave = Slots._leave

    def leaking(slots: Slots) -> None:
        if not is_due():
            leave(slots)

    Slots._leave = leaking  # type: ignore[method-assign]


def change_frames(times: int, marked: bytes) -> None:
    """Sends the frames that hold these bytes so many times, when it is due."""
    send = EventStream._send

    async def changed(stream: EventStream, to: Any, frame: bytes) -> None:
        for _ in range(times if marked in frame and is_due() else 1):
            await send(stream, to, frame)

    EventStream._send = changed  # type: ignore[method-assign]


SABOTAGES = {
    "nothing": lambda: None,
    "memory": lambda: leak_at_requests(memory),
    "tasks": lambda: leak_at_requests(tasks),
    "descriptors": lambda: leak_at_requests(descriptors),
    "running": keep_slots,
    "lost": lambda: change_frames(0, b'"text":'),
    "doubled": lambda: change_frames(2, b'"text":'),
    "silent": lambda: change_frames(0, b"[DONE]"),
}

if __name__ == "__main__":
    SABOTAGES[sys.argv[1]]()
    frontend.main()
