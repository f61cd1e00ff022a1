"""Workers that accept from one socket: here all in one event loop, each with an acceptor of its own."""

import asyncio
import errno
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import ClassVar, cast

import pytest
import uvloop

from frontend.server import acceptor
from frontend.server.acceptor import HOLD_BACK_S, Acceptor
from frontend.server.connection import HttpConnection

NUM_CONNECTIONS = 30
# Far above what anything here takes.
DEADLINE_S = 30


class Listener(socket.socket):
    """Fails to accept as often as it, or a duplicate of it, is told to."""

    failures: ClassVar[list[OSError]] = []

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            raise self.failures.pop()
        return super().accept()


class Workers:
    """Acceptors on one listener, and the connections of each."""

    def __init__(self, listener: Listener, num_workers: int) -> None:
        self.connections: list[set[object]] = [set() for _ in range(num_workers)]
        self.transports: list[asyncio.WriteTransport] = []
        self.shown = [0] * num_workers
        # A file has one reader in an event loop.
        self.listeners = [listener.dup() for _ in range(num_workers)]
        self.acceptors = [self._acceptor(worker) for worker in range(num_workers)]

    async def close(self) -> None:
        for acceptor_ in self.acceptors:
            acceptor_.close()
        for listener in self.listeners:
            listener.close()
        for transport in self.transports:
            transport.abort()
        await asyncio.sleep(0)

    @property
    def open(self) -> list[int]:
        return [len(connections) for connections in self.connections]

    async def until_all_are_taken(self, num_connections: int = NUM_CONNECTIONS) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while len(self.transports) < num_connections:
            assert time.monotonic() < deadline, self.open
            await asyncio.sleep(0.001)

    def _acceptor(self, worker: int) -> Acceptor:
        workers = self

        class Share:
            def show_connections(self, num_connections: int) -> None:
                workers.shown[worker] = num_connections

            def is_ahead(self) -> bool:
                return min(workers.shown) < workers.shown[worker]

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                workers.connections[worker].add(self)
                workers.transports.append(cast(asyncio.WriteTransport, transport))

        made = cast("set[HttpConnection]", self.connections[worker])
        return Acceptor(self.listeners[worker], Share(), Connection, None, made, 1000)


Exchange = Callable[[Workers], Awaitable[None]]


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2 * NUM_CONNECTIONS)
        yield listener


def run(listener: Listener, exchange: Exchange, num_workers: int = 3) -> None:
    """All clients connect before a worker looks."""

    async def turn() -> None:
        workers = Workers(listener, num_workers)
        try:
            await exchange(workers)
        finally:
            await workers.close()

    with ExitStack() as stack:
        for _ in range(NUM_CONNECTIONS):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        uvloop.run(turn())


def test_who_has_fewer_connections_takes_what_comes(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is.
    monkeypatch.setattr(acceptor, "HOLD_BACK_S", DEADLINE_S)

    async def exchange(workers: Workers) -> None:
        workers.connections[0] |= set(range(NUM_CONNECTIONS))
        await workers.until_all_are_taken()
        assert workers.open == [NUM_CONNECTIONS, NUM_CONNECTIONS / 2, NUM_CONNECTIONS / 2]

    run(listener, exchange)


def test_a_worker_that_does_not_accept_holds_the_others_up_for_a_moment_only(listener: Listener) -> None:
    async def exchange(workers: Workers) -> None:
        workers.acceptors[0].close()
        start = time.monotonic()
        await workers.until_all_are_taken()
        # Each connection but a worker's first was held back.
        assert time.monotonic() - start >= HOLD_BACK_S * (NUM_CONNECTIONS / 2 - 1)
        assert workers.open[0] == 0

    run(listener, exchange)


def test_alone_a_worker_waits_for_nobody(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "HOLD_BACK_S", DEADLINE_S)

    async def exchange(workers: Workers) -> None:
        await workers.until_all_are_taken()

    run(listener, exchange, num_workers=1)


def test_a_closed_acceptor_takes_nothing_more_even_if_it_held_back(listener: Listener) -> None:
    async def exchange(workers: Workers) -> None:
        first, second = workers.acceptors
        second.close()
        await workers.until_all_are_taken(1)
        first.close()
        taken = workers.open[0]
        await asyncio.sleep(10 * HOLD_BACK_S)
        # One may have been on its way.
        assert workers.open[0] <= taken + 1 < NUM_CONNECTIONS

    run(listener, exchange, num_workers=2)


@pytest.mark.parametrize(
    "failure",
    [BlockingIOError(), ConnectionAbortedError(), OSError(errno.EMFILE, "too many open files")],
    ids=["another worker was faster", "the client has left", "no file is left"],
)
def test_an_accept_that_fails_is_tried_again(
    listener: Listener, failure: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "RETRY_S", 0.05)
    monkeypatch.setattr(Listener, "failures", [failure])

    async def exchange(workers: Workers) -> None:
        await workers.until_all_are_taken()

    run(listener, exchange)
    assert not listener.failures
