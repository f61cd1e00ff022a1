"""A response of server-sent events: one event a write, an error frame when the work fails after the start."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from frontend.disconnect import ClientDisconnected, until_disconnect
from frontend.errors import ApiError, EngineFailed, to_frame

logger = logging.getLogger(__name__)


class EventStream(Response):
    """Sends events, each a complete frame; an error before the first is raised and so gets its status.

    `to_frame` makes the frame that ends a stream which fails later.
    """

    media_type = "text/event-stream"
    charset = "utf-8"

    def __init__(
        self, events: AsyncGenerator[bytes, None], to_frame: Callable[[ApiError], bytes] = to_frame
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._to_frame = to_frame

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await until_disconnect(receive, self._send_events(send))
        except ClientDisconnected:
            logger.debug("the client left during a stream")

    async def _send_events(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            first = await anext(events)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send(_body(first))
            try:
                async for event in events:
                    await send(_body(event))
            except ApiError as error:
                await send(_body(self._to_frame(error)))
            except Exception:
                logger.exception("a stream failed")
                await send(_body(self._to_frame(EngineFailed("The server failed to process the request."))))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _body(event: bytes) -> dict[str, object]:
    return {"type": "http.response.body", "body": event, "more_body": True}
