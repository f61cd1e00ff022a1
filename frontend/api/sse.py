"""An answer as server-sent events: events are pushed in by plain calls and go straight to the client."""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from frontend.errors import ApiError, EngineFailed
from frontend.writer import WRITER, Writer

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

DONE_EVENT = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
# What may wait for an ASGI server that takes no more; a token's event has some 200.
MAX_UNSENT_BYTES = 64 * 1024
# json.dumps makes an encoder for each call, which takes twice as long as a token's text.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def data_event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + _to_json(data).encode() + b"\n\n"


def named_event(event: Mapping[str, Any]) -> bytes:
    """An event for clients that go by its `event` line, which repeats its type."""
    return f"event: {event['type']}\n".encode() + data_event(event)


class TextEvents:
    """Events that differ by one text alone: all else is rendered once, a tenth of the time for each."""

    def __init__(self, chunk_of: Callable[[str], Mapping[str, Any]]) -> None:
        # A text that nothing else in the chunk can hold.
        mark = uuid.uuid4().hex
        self._before, _, self._after = data_event(chunk_of(mark)).partition(f'"{mark}"'.encode())

    def event(self, text: str) -> bytes:
        return self._before + _to_json(text).encode() + self._after


class Producer(Protocol):
    """Makes the events."""

    async def run(self, push: Callable[[bytes], None]) -> None:
        """Pushes them, each complete; raises ApiError."""

    def failed(self, error: ApiError) -> bytes:
        """The event that ends a stream which has begun."""

    def pause(self) -> None:
        """The client does not read: what comes from now on waits."""

    def resume(self) -> None: ...


class EventStream(Response):
    """Sends what the producer pushes; an error before anything is sent is raised and so gets its status."""

    media_type = "text/event-stream"
    charset = "utf-8"

    def __init__(self, producer: Producer, keep_alive_s: float) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._producer = producer
        self._keep_alive_s = keep_alive_s
        self._early: list[bytes] = []
        """Pushed before the head of the answer was sent."""
        self._opening: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._is_open = False
        self._is_quiet = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        self._writer: Writer = scope.get("state", {}).get(WRITER) or SendWriter(send)
        keeping_alive = asyncio.create_task(self._keep_alive())
        try:
            await self._stream(receive)
        except ClientDisconnected:
            logger.debug("the client left during a stream")
        finally:
            tasks = [task for task in (keeping_alive, self._opening, self._draining) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def push(self, data: bytes) -> None:
        """The way of every token: no task, no wait."""
        if not data:
            return
        self._is_quiet = False
        if not self._is_open:
            self._early.append(data)
            self._opening = self._opening or asyncio.create_task(self._open())
            return
        self._writer.write(data)
        if self._writer.is_full and self._draining is None:
            self._producer.pause()
            self._draining = asyncio.create_task(self._drain())

    async def _stream(self, receive: Receive) -> None:
        try:
            await until_disconnect(receive, self._producer.run(self.push))
        except ApiError as error:
            self._fail(error)
        except ClientDisconnected:
            raise
        except Exception:
            if self._opening is None:
                raise
            logger.exception("a stream failed")
            self._fail(EngineFailed("The server failed to process the request."))
        if self._opening is not None:
            await self._opening
        if isinstance(self._writer, SendWriter):
            await self._writer.drained()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _fail(self, error: ApiError) -> None:
        if self._opening is None:
            raise error
        self.push(self._producer.failed(error))

    async def _open(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        self._is_open = True
        early, self._early = b"".join(self._early), []
        self.push(early)

    async def _drain(self) -> None:
        await self._writer.drained()
        self._draining = None
        self._producer.resume()

    async def _keep_alive(self) -> None:
        """Comments through the silence of a long prompt, which proxies take for a dead peer."""
        while True:
            await asyncio.sleep(self._keep_alive_s)
            if self._is_quiet and self._draining is None:
                self.push(KEEP_ALIVE)
            self._is_quiet = True


class SendWriter:
    """For ASGI servers that have no writer of their own: one task sends what has been written."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._unsent = bytearray()
        self._sending: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        return len(self._unsent) > MAX_UNSENT_BYTES

    def write(self, data: bytes) -> None:
        self._unsent += data
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())

    async def drained(self) -> None:
        if self._sending is not None:
            await self._sending

    async def _send_all(self) -> None:
        while self._unsent:
            body, self._unsent = bytes(self._unsent), bytearray()
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


class ClientDisconnected(Exception):
    """Nobody is left to answer."""


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The work's result; cancels the work and raises ClientDisconnected when the client leaves first.

    What `receive` raises ends the work too, and is raised.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        leaving.result()
        raise ClientDisconnected
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
