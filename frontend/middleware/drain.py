"""Lets nobody in once the end of service has begun."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.errors import to_response
from frontend.limits.drain import Drain, shutting_down

LIVENESS_PATH = "/health/live"


class RefuseWhileDraining:
    """Middleware: liveness stays as it is, readiness and everything else is refused."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_in_time() -> Message:
            return await self._drain.receive(receive)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._drain.is_begun and scope["path"] != LIVENESS_PATH:
            await to_response(shutting_down(), scope, {"Connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, receive_in_time, send)
