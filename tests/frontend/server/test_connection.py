"""Clients that leave a little of an answer where it waits, which no high-water mark tells of."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import uvicorn
import uvloop
from starlette.responses import Response
from uvicorn.server import ServerState

from frontend.metrics.counters import SharedMetrics
from frontend.server.connection import MIN_TAKEN_BYTES, ConnectionDeadlines, HttpConnection

SEND_S = 1.0
IDLE_S = 1
# Far above both.
MARGIN_S = 30
# Of the client; with a few kilobytes it waits for the kernel's timers between two packets.
RECEIVE_BUFFER_BYTES = 64 * 1024
# Below the 64 KiB at which uvloop 0.23 pauses writing.
FEW_BYTES = 40_000
KEEPING = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

Exchange = Callable[[socket.socket, HttpConnection], Awaitable[None]]


async def with_connection(num_bytes: int, request: bytes, exchange: Exchange) -> None:
    """A client that has sent the request, and the connection that answers it with so many bytes."""
    made: list[HttpConnection] = []
    config = uvicorn.Config(Response(b"x" * num_bytes), timeout_keep_alive=IDLE_S, log_config=None, ws="none")
    config.load()
    deadlines, metrics = ConnectionDeadlines(MARGIN_S, SEND_S), SharedMetrics()
    connection = partial(HttpConnection, config, ServerState(), {}, deadlines=deadlines, metrics=metrics)

    def make() -> HttpConnection:
        made.append(connection())
        return made[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0)
    try:
        with socket.socket() as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await loop.sock_sendall(client, request)
            await loop.sock_recv(client, 1)
            await exchange(client, made[0])
    finally:
        server.close()
        made[0].transport.abort()


async def is_reset(client: socket.socket) -> None:
    """Returns as soon as the kernel has it, without reading what waits."""
    while not client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.05)


def run(num_bytes: int, request: bytes, exchange: Exchange) -> None:
    uvloop.run(with_connection(num_bytes, request, exchange))


async def take(client: socket.socket, num_bytes: int) -> int:
    """So many bytes, or fewer at the end of the connection."""
    num_taken = 0
    while num_taken < num_bytes:
        data = await asyncio.get_running_loop().sock_recv(client, num_bytes - num_taken)
        num_taken += len(data)
        if not data:
            break
    return num_taken


@pytest.mark.row(47)
def test_the_last_bytes_of_an_answer() -> None:
    """The transport resumes writing while a few bytes still wait, and no later pause tells of them."""

    async def exchange(client: socket.socket, connection: HttpConnection) -> None:
        assert connection.transport.is_closing()
        connection.resume_writing()
        await asyncio.wait_for(is_reset(client), MARGIN_S)

    run(2_000_000, CLOSING, exchange)


@pytest.mark.row(47)
def test_an_answer_that_has_ended_below_the_high_water_mark() -> None:
    """Writing is never paused; the connection is closed as idle, and then cut off."""

    waiting = []

    async def exchange(client: socket.socket, connection: HttpConnection) -> None:
        waiting.append(connection.transport.get_write_buffer_size())
        if waiting[-1]:
            assert not connection.flow.write_paused
            await asyncio.wait_for(is_reset(client), MARGIN_S)

    # Until more has been written than both kernels hold.
    num_bytes = 100_000
    while not any(waiting):
        run(num_bytes, KEEPING, exchange)
        num_bytes += FEW_BYTES


@pytest.mark.row(47)
def test_a_client_that_takes_a_byte_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    async def exchange(client: socket.socket, connection: HttpConnection) -> None:
        async def nibble() -> None:
            while await take(client, 1):  # noqa: ASYNC110 - it is slow on purpose
                await asyncio.sleep(0.05)

        nibbling = asyncio.ensure_future(nibble())
        await asyncio.wait_for(is_reset(client), MARGIN_S)
        nibbling.cancel()

    run(2_000_000, KEEPING, exchange)
    assert "was cut off" in caplog.text


def test_a_client_that_takes_its_time_gets_all(caplog: pytest.LogCaptureFixture) -> None:
    """A large answer may take longer than the deadline."""

    async def exchange(client: socket.socket, connection: HttpConnection) -> None:
        start = asyncio.get_running_loop().time()
        while await take(client, 2 * MIN_TAKEN_BYTES) == 2 * MIN_TAKEN_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(SEND_S / 10)
        assert asyncio.get_running_loop().time() - start > SEND_S

    run(4_000_000, CLOSING, exchange)
    assert "cut off" not in caplog.text


def test_an_answer_that_is_not_taken_yet_is_not_quiet() -> None:
    """It would be cut where another connection needs the room."""

    async def look(_: socket.socket, connection: HttpConnection) -> None:
        assert connection.cycle.response_complete
        assert not connection.is_quiet

    asyncio.run(asyncio.wait_for(with_connection(10_000_000, KEEPING, look), MARGIN_S))
