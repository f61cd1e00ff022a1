"""The real application on a real socket, in the event loop of the test, so that its insides can be seen."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from frontend.app import SSE_KEEP_ALIVE_S, create_app
from frontend.limits.ledger import SharedLedger
from frontend.server.server import create_server
from frontend.settings import Settings
from frontend.triton.triton import Triton
from tests.fakes.live_vocabulary import LiveTriton
from tests.fakes.triton_servers import FakeServer


@dataclass(frozen=True)
class ServedFrontend:
    port: int
    triton: Triton

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def served_frontend(
    servers: Sequence[FakeServer], keep_alive_s: float = SSE_KEEP_ALIVE_S, **given: Any
) -> AsyncIterator[ServedFrontend]:
    """Without keys, in front of these Tritons."""
    settings = Settings(triton_grpc_addresses=[server.address for server in servers], **given)
    triton = LiveTriton(settings)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        ledger = SharedLedger()
        application = partial(create_app, settings, triton, ledger=ledger, keep_alive_s=keep_alive_s)
        server = create_server(settings, application, ledger)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield ServedFrontend(listener.getsockname()[1], triton)
        finally:
            server.should_exit = True
            await serving
