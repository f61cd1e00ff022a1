"""The real application on a real socket, in front of the fake Triton."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import grpc
import httpx2 as httpx
import openai
import pytest
from tritonclient.grpc import service_pb2_grpc

from frontend.app import create_app
from frontend.limits.drain import Drain
from frontend.limits.ledger import SharedLedger
from frontend.server.server import create_server
from frontend.settings import Settings
from tests.fakes.asgi_servers import ASGI_SERVER, AsgiServer, plain_server
from tests.fakes.clients import http_client, openai_client
from tests.fakes.live_vocabulary import LiveTriton
from tests.fakes.triton_server import FakeTriton, Script

API_KEY = "test-key"
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass
class Stack:
    url: str
    fake: FakeTriton
    ledger: SharedLedger


@contextmanager
def serving(ledger: SharedLedger | None = None, **settings: object) -> Iterator[Stack]:
    """A stack of its own, with these settings."""
    fake, ledger = FakeTriton(), ledger or SharedLedger()
    servers: list[AsgiServer] = []
    # Listening from the start: the first request waits in the backlog until the server is up.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(
            target=lambda: asyncio.run(_serve(fake, ledger, listener, servers, settings))
        )
        thread.start()
        try:
            yield Stack(f"http://127.0.0.1:{listener.getsockname()[1]}", fake, ledger)
        finally:
            servers[0].should_exit = True
            thread.join(10)


@pytest.fixture(scope="session")
def running_stack() -> Iterator[Stack]:
    with serving() as stack:
        yield stack


@pytest.fixture
def stack(running_stack: Stack) -> Stack:
    running_stack.fake.reset(Script())
    return running_stack


@pytest.fixture
def fake(stack: Stack) -> FakeTriton:
    return stack.fake


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with http_client(stack.url, API_KEY, timeout=10) as client:
        yield client


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai_client(stack.url, API_KEY) as client:
        yield client


async def _serve(
    fake: FakeTriton,
    ledger: SharedLedger,
    listener: socket.socket,
    servers: list[AsgiServer],
    overrides: dict[str, object],
) -> None:
    triton_server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, triton_server)
    grpc_port = triton_server.add_insecure_port("127.0.0.1:0")
    await triton_server.start()
    fields = {"triton_grpc_addresses": (f"127.0.0.1:{grpc_port}",), "api_keys": (API_KEY,), **overrides}
    settings = Settings(**fields)
    application = partial(create_app, settings, LiveTriton(settings), ledger=ledger)
    if ASGI_SERVER:
        server = plain_server(ASGI_SERVER, application(Drain()))
    else:
        server = create_server(settings, application, ledger)
    servers.append(server)
    await server.serve(sockets=[listener])
    await triton_server.stop(None)
