"""The end of service: what is in gets a grace time to finish."""

import asyncio

from starlette.types import Message, Receive

from frontend.errors import EngineUnavailable


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
            raise shutting_down()
        finally:
            receiving.cancel()
            expiring.cancel()


def shutting_down() -> EngineUnavailable:
    return EngineUnavailable("The server is shutting down.")
