"""Fake Tritons on ports of their own, which can be killed and started again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from frontend.settings import Settings
from frontend.triton.triton import Triton
from tests.fakes.live_vocabulary import LiveTriton
from tests.fakes.triton_server import FakeTriton


class FakeServer:
    """One fake on one port."""

    def __init__(self, fake: FakeTriton) -> None:
        self.fake = fake
        self.port = 0
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """On the port that it had before, if any."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self.fake, self._server)
        self.port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def kill(self) -> None:
        """Cuts every connection."""
        if self._server is not None:
            await self._server.stop(0)


@asynccontextmanager
async def fake_servers(*fakes: FakeTriton) -> AsyncIterator[list[FakeServer]]:
    servers = [FakeServer(fake) for fake in fakes]
    try:
        for server in servers:
            await server.start()
        yield servers
    finally:
        for server in servers:
            await server.kill()


@asynccontextmanager
async def connected(servers: Sequence[FakeServer], **settings: Any) -> AsyncIterator[Triton]:
    """The frontend's client of these servers; it asks after them only when it must."""
    triton = LiveTriton(Settings(triton_grpc_addresses=[server.address for server in servers], **settings))
    try:
        yield triton
    finally:
        await triton.close()
