"""The application under ASGI servers that know nothing of it, on the running event loop."""

import asyncio
import os
import socket
from typing import Any, Protocol

import uvicorn
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config as HypercornConfig

# Which of them serves in tests/frontend; without it, that is our own.
ASGI_SERVER = os.environ.get("ASGI_SERVER", "")


class AsgiServer(Protocol):
    should_exit: bool

    async def serve(self, sockets: list[socket.socket] | None = None) -> None: ...


class Hypercorn:
    def __init__(self, app: Any) -> None:
        self._app = app
        self.should_exit = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        config = HypercornConfig()
        config.bind = [f"fd://{os.dup(listener.fileno())}" for listener in sockets or []]
        config.graceful_timeout = 1
        await hypercorn_serve(self._app, config, shutdown_trigger=self._exit)

    async def _exit(self) -> None:
        while not self.should_exit:  # noqa: ASYNC110 - set from another thread, as uvicorn's is
            await asyncio.sleep(0.05)


def plain_server(name: str, app: Any) -> AsgiServer:
    if name == "hypercorn":
        return Hypercorn(app)
    config = uvicorn.Config(app, http="h11", ws="none", log_config=None)
    return uvicorn.Server(config)
