"""The end of service: nothing new is let in, and what is in gets a grace time to finish."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.errors import EngineUnavailable, to_response

LIVENESS_PATH = "/health/live"


class Drain:
    """Shared by the server, which begins and ends it, and the application, which obeys it."""

    def __init__(self) -> None:
        self.is_begun = False
        self._expired = asyncio.Event()

    def begin(self) -> None:
        self.is_begun = True

    def expire(self) -> None:
        """Ends the grace time: requests that still run fail."""
        self._expired.set()

    async def receive(self, receive: Receive) -> Message:
        """The next message of a request; raises EngineUnavailable once the grace time is over."""
        receiving = asyncio.ensure_future(receive())
        expiring = asyncio.ensure_future(self._expired.wait())
        try:
            await asyncio.wait({receiving, expiring}, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                return receiving.result()
            raise _shutting_down()
        finally:
            receiving.cancel()
            expiring.cancel()


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
            await to_response(_shutting_down(), scope["path"], {"Connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, receive_in_time, send)


def _shutting_down() -> EngineUnavailable:
    return EngineUnavailable("The server is shutting down.")
