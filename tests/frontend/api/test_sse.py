import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.api.sse import KEEP_ALIVE, MAX_UNSENT_BYTES, EventStream, TextEvents, data_event
from frontend.errors import ApiError, EngineUnavailable, to_event
from frontend.writer import WRITER

Push = Callable[[bytes], None]


class Producer:
    """Runs `work`, and takes note of pauses."""

    def __init__(self, work: Callable[[Push], Awaitable[None]]) -> None:
        self.run = work
        self.notes: list[str] = []

    def failed(self, error: ApiError) -> bytes:
        return to_event(error)

    def pause(self) -> None:
        self.notes.append("pause")

    def resume(self) -> None:
        self.notes.append("resume")


class Connection:
    """A server's writer, which is full after so many writes until it is drained."""

    def __init__(self, sent: list[Any], capacity: int = 1000) -> None:
        self._sent = sent
        self._capacity = capacity
        self.room = capacity

    @property
    def is_full(self) -> bool:
        return self.room <= 0

    def write(self, data: bytes) -> None:
        self.room -= 1
        self._sent.append(data)

    async def drained(self) -> None:
        await asyncio.sleep(0.01)
        self.room = self._capacity


def run(producer: Producer, has_writer: bool = True, capacity: int = 1000, takes_s: float = 0) -> list[Any]:
    """What was sent: the messages to `send`, and the writes past it."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await asyncio.sleep(takes_s)
        sent.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope: dict[str, Any] = {"type": "http"}
    if has_writer:
        scope["state"] = {WRITER: Connection(sent, capacity)}
    asyncio.run(EventStream(producer, keep_alive_s=0.02)(scope, receive, send))
    return sent


def pushing(
    *pieces: bytes, error: Exception | None = None, after_s: float = 0, pause_s: float = 0
) -> Producer:
    async def work(push: Push) -> None:
        await asyncio.sleep(after_s)
        for piece in pieces:
            push(piece)
            await asyncio.sleep(pause_s)
        if error is not None:
            raise error

    return Producer(work)


def body_of(sent: list[Any]) -> bytes:
    return b"".join(part if isinstance(part, bytes) else part.get("body", b"") for part in sent)


def test_each_push_is_one_write_past_the_application() -> None:
    async def work(push: Push) -> None:
        push(b"data: 1\n\n")
        await asyncio.sleep(0.01)
        push(b"data: 2\n\n")

    start, *parts, end = run(Producer(work))
    assert start["status"] == 200
    assert parts == [b"data: 1\n\n", b"data: 2\n\n"]
    assert end == {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.parametrize("takes_s", [0, 0.01])
def test_any_asgi_server_gets_the_same_bytes(takes_s: float) -> None:
    start, *parts, end = run(pushing(*(b"%d;" % number for number in range(9))), False, takes_s=takes_s)
    assert start["status"] == 200
    assert all(part["more_body"] for part in parts)
    assert body_of(parts) == b"".join(b"%d;" % number for number in range(9))
    assert not end["more_body"]


def test_silence_is_filled_with_comments() -> None:
    start, *parts, _ = run(pushing(b"data: 1\n\n", after_s=0.1))
    assert start["status"] == 200
    assert parts[0] == KEEP_ALIVE
    assert b"data: 1\n\n" in parts


def test_failure_before_the_first_event_is_raised() -> None:
    with pytest.raises(EngineUnavailable):
        run(pushing(error=EngineUnavailable("gone")))


@pytest.mark.parametrize("error", [EngineUnavailable("gone"), RuntimeError("a bug")])
def test_later_failure_is_an_event(error: Exception) -> None:
    sent = run(pushing(b"data: 1\n\n", error=error))
    assert body_of(sent).startswith(b'data: 1\n\ndata: {"error"')


def test_a_client_that_does_not_read_pauses_its_producer_alone() -> None:
    producer = pushing(*[b"x"] * 9, pause_s=0.02)
    assert body_of(run(producer, capacity=4)) == b"x" * 9
    assert producer.notes[:2] == ["pause", "resume"]


def test_without_a_writer_a_slow_server_pauses_the_producer() -> None:
    piece = b"x" * MAX_UNSENT_BYTES
    producer = pushing(*[piece] * 3)
    # On a busy machine there may be time for a comment between them.
    assert body_of(run(producer, has_writer=False, takes_s=0.01)).replace(KEEP_ALIVE, b"") == piece * 3
    assert producer.notes[:2] == ["pause", "resume"]


def chunk_of(text: str) -> dict[str, Any]:
    return {
        "model": '"text":"',
        "choices": [{"index": 0, "text": text, "finish_reason": None}],
        "usage": None,
    }


EVENTS = TextEvents(chunk_of)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_rendered_once_is_what_would_be_rendered_each_time(text: str) -> None:
    assert EVENTS.event(text) == data_event(chunk_of(text))
