"""A response of server-sent events: one event a write, an error frame when the work fails after the start."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from frontend.api.disconnect import ClientDisconnected, until_disconnect
from frontend.errors import ApiError, EngineFailed, to_frame
from frontend.server.connection import CONNECTION

logger = logging.getLogger(__name__)

KEEP_ALIVE_FRAME = b": keep-alive\n\n"


class Connection(Protocol):
    async def write_part(self, data: bytes) -> None:
        """Sends a part of the answer that has begun."""


class EventStream(Response):
    """Sends events, each a complete frame; an error before anything is sent is raised and so gets its status.

    `to_frame` makes the frame that ends a stream which fails later.
    """

    media_type = "text/event-stream"
    charset = "utf-8"

    def __init__(
        self,
        request: Request,
        events: AsyncGenerator[bytes, None],
        to_frame: Callable[[ApiError], bytes] = to_frame,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._keep_alive_s: float = request.app.state.sse_keep_alive_s
        self._connection: Connection = request.scope["state"][CONNECTION]
        self._events = events
        self._to_frame = to_frame
        self._is_started = False
        self._is_quiet = True

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        keeping_alive = asyncio.create_task(self._keep_alive(send))
        try:
            await self._stream(receive, send)
        except ClientDisconnected:
            logger.debug("the client left during a stream")
        finally:
            keeping_alive.cancel()

    async def _stream(self, receive: Receive, send: Send) -> None:
        try:
            await until_disconnect(receive, self._send_events(send))
        except ApiError as error:
            await self._fail(send, error)
        except ClientDisconnected:
            raise
        except Exception:
            if not self._is_started:
                raise
            logger.exception("a stream failed")
            await self._fail(send, EngineFailed("The server failed to process the request."))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_events(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            async for event in events:
                await self._send(send, event)

    async def _fail(self, send: Send, error: ApiError) -> None:
        if not self._is_started:
            raise error
        await self._send(send, self._to_frame(error))

    async def _send(self, send: Send, frame: bytes) -> None:
        self._is_quiet = False
        if not self._is_started:
            self._is_started = True
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._connection.write_part(frame)

    async def _keep_alive(self, send: Send) -> None:
        """Comments through the silence of a long prompt, which proxies take for a dead peer."""
        while True:
            await asyncio.sleep(self._keep_alive_s)
            if self._is_quiet:
                await self._send(send, KEEP_ALIVE_FRAME)
            self._is_quiet = True
