import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.datastructures import State
from starlette.requests import Request

from frontend.api.event_stream import KEEP_ALIVE_FRAME, EventStream
from frontend.errors import EngineUnavailable
from frontend.server.connection import CONNECTION


class App:
    state = State({"sse_keep_alive_s": 0.01})


def run(events: AsyncGenerator[bytes, None]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    class Connection:
        async def write_part(self, data: bytes) -> None:
            sent.append({"body": data, "more_body": True})

    scope = {"type": "http", "app": App(), "state": {CONNECTION: Connection()}}
    asyncio.run(EventStream(Request(scope), events)(scope, receive, send))
    return sent


async def late(*frames: bytes) -> AsyncGenerator[bytes, None]:
    await asyncio.sleep(0.05)
    for frame in frames:
        yield frame


async def failing(*frames: bytes) -> AsyncGenerator[bytes, None]:
    for frame in frames:
        yield frame
    raise EngineUnavailable("gone")


def test_silence_is_filled_with_comments() -> None:
    start, *bodies, end = run(late(b"data: 1\n\n"))
    assert start["status"] == 200
    assert bodies[0]["body"] == KEEP_ALIVE_FRAME
    assert b"data: 1\n\n" in [body["body"] for body in bodies]
    assert not end["more_body"]


def test_each_event_is_one_write() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"

    assert [message.get("body") for message in run(events())] == [None, b"data: 1\n\n", b"data: 2\n\n", b""]


def test_failure_before_the_first_event_is_raised() -> None:
    with pytest.raises(EngineUnavailable):
        run(failing())


def test_later_failure_is_a_frame() -> None:
    *_, frame, _ = run(failing(b"data: 1\n\n"))
    assert frame["body"].startswith(b'data: {"error"')
