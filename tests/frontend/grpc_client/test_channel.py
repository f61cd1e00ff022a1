"""Calls against gRPC's own server: what it sends and expects is what counts."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import BytesValue

from frontend.grpc_client.channel import GrpcChannel, Method
from frontend.grpc_client.status import GrpcError, GrpcStatus

ECHO = Method("/test.Service/Echo", BytesValue)
TIMEOUT_S = 20.0
Handler = Callable[[bytes, grpc.aio.ServicerContext], AsyncIterator[bytes]]


class Service(grpc.GenericRpcHandler):
    """Every method streams what `handler` yields for the one message of the request."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def service(self, _: Any) -> grpc.RpcMethodHandler:
        return grpc.unary_stream_rpc_method_handler(self._handler)  # type: ignore[arg-type]


async def echo(request: bytes, _: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    yield request


@asynccontextmanager
async def serving(
    handler: Handler, address: str = "127.0.0.1:0", **options: int
) -> AsyncIterator[tuple[grpc.aio.Server, str]]:
    server = grpc.aio.server(options=[(f"grpc.{name}", value) for name, value in options.items()])
    server.add_generic_rpc_handlers((Service(handler),))
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield server, address if port <= 1 else f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), TIMEOUT_S))


@pytest.mark.parametrize("size", [0, 1, 16_384, 100_000, 5_000_000, 40_000_000])
def test_messages_of_any_size_both_ways(size: int) -> None:
    async def test() -> None:
        unlimited = {"max_receive_message_length": -1, "max_send_message_length": -1}
        async with serving(echo, **unlimited) as (_, address):
            channel = GrpcChannel(address)
            answer = await channel.ask(ECHO, BytesValue(value=b"x" * size), TIMEOUT_S)
            assert len(answer.value) == size
            channel.close()

    run(test)


def test_more_than_a_window_in_one_stream_and_over_all() -> None:
    async def flood(_: bytes, __: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        piece = BytesValue(value=b"x" * 1_000_000).SerializeToString()
        for _number in range(100):
            yield piece

    async def test() -> None:
        async with serving(flood) as (_, address):
            channel = GrpcChannel(address)
            for _number in range(2):
                assert len(await channel.collect(ECHO, BytesValue(), TIMEOUT_S)) == 100
            channel.close()

    run(test)


def test_a_thousand_calls_on_one_connection() -> None:
    async def test() -> None:
        async with serving(echo) as (_, address):
            channel = GrpcChannel(address)
            asked = [channel.ask(ECHO, BytesValue(value=b"%d" % number), TIMEOUT_S) for number in range(1000)]
            answers = await asyncio.gather(*asked)
            assert [answer.value for answer in answers] == [b"%d" % number for number in range(1000)]
            channel.close()

    run(test)


@pytest.mark.parametrize("details", ["", "no such thing", "100 % größer,\nin zwei Zeilen"])
@pytest.mark.parametrize("num_before", [0, 2])
def test_errors_keep_their_code_and_details(details: str, num_before: int) -> None:
    async def fail(_: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        for _number in range(num_before):
            yield b""
        await context.abort(grpc.StatusCode.NOT_FOUND, details)

    async def test() -> None:
        async with serving(fail) as (_, address):
            channel = GrpcChannel(address)
            with pytest.raises(GrpcError) as raised:
                await channel.collect(ECHO, BytesValue(), TIMEOUT_S)
            assert (raised.value.code, raised.value.details) == (grpc.StatusCode.NOT_FOUND, details)
            channel.close()

    run(test)


@pytest.mark.parametrize("num_responses", [0, 2])
def test_a_unary_call_has_one_response(num_responses: int) -> None:
    async def answer(_: bytes, __: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        for _number in range(num_responses):
            yield b""

    async def test() -> None:
        async with serving(answer) as (_, address):
            channel = GrpcChannel(address)
            with pytest.raises(GrpcError, match=f"{num_responses} responses"):
                await channel.ask(ECHO, BytesValue(), TIMEOUT_S)
            channel.close()

    run(test)


class Ends:
    """Whether the server's side of a call has ended."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.begun = asyncio.Event()

    async def handler(self, _: bytes, __: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        self.begun.set()
        try:
            yield b""
            await asyncio.sleep(TIMEOUT_S)
        finally:
            self.event.set()


def test_a_call_that_is_too_late_or_given_up_is_cancelled_at_the_server() -> None:
    async def test() -> None:
        late, given_up = Ends(), Ends()
        async with serving(late.handler) as (_, first), serving(given_up.handler) as (_, second):
            channels = GrpcChannel(first), GrpcChannel(second)
            # Before the deadline begins to run, so that the call gets as far as the server.
            await channels[0].connected()
            with pytest.raises(GrpcError) as raised:
                await channels[0].collect(ECHO, BytesValue(), 0.5)
            assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
            await late.event.wait()
            task = asyncio.create_task(channels[1].collect(ECHO, BytesValue(), TIMEOUT_S))
            await given_up.begun.wait()
            task.cancel()
            await given_up.event.wait()
            for channel in channels:
                assert channel.connection is not None
                assert channel.connection.num_calls == 0
                channel.close()

    run(test)


def test_a_server_that_goes_away_ends_what_runs_and_takes_nothing_new() -> None:
    async def test() -> None:
        released = asyncio.Event()

        async def wait(request: bytes, _: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            yield request
            await released.wait()
            yield request

        async with serving(wait) as (server, address):
            channel = GrpcChannel(address)
            receiver = Receiver()
            connection = await channel.connected()
            connection.start(ECHO.path, b"", receiver)
            await receiver.first
            stopping = asyncio.create_task(server.stop(TIMEOUT_S))
            while connection.has_room:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            assert channel.connection is None
            with pytest.raises(GrpcError) as raised:
                await channel.ask(ECHO, BytesValue(), TIMEOUT_S)
            assert raised.value.code is grpc.StatusCode.UNAVAILABLE
            released.set()
            status = await receiver.ended
            assert (status.code, receiver.num_messages) == (grpc.StatusCode.OK, 2)
            await stopping

    run(test)


class Receiver:
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.num_messages = 0
        self.first: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[GrpcStatus] = loop.create_future()

    def on_messages(self, messages: Sequence[bytes]) -> None:
        if not self.num_messages:
            self.first.set_result(None)
        self.num_messages += len(messages)

    def on_end(self, status: GrpcStatus) -> None:
        self.ended.set_result(status)


def test_a_connection_whose_ids_are_used_up_is_followed_by_another() -> None:
    async def test() -> None:
        async with serving(echo) as (_, address):
            channel = GrpcChannel(address)
            first = await channel.connected()
            first._h2.highest_outbound_stream_id = 2**31 - 3
            for text in (b"last", b"first"):
                assert (await channel.ask(ECHO, BytesValue(value=text), TIMEOUT_S)).value == text
            assert channel.connection is not first
            assert first.num_calls == 0
            channel.close()

    run(test)


def test_calls_beyond_a_connections_limit_take_another() -> None:
    async def test() -> None:
        released = asyncio.Event()

        async def wait(request: bytes, _: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            await released.wait()
            yield request

        async with serving(wait, max_concurrent_streams=2) as (_, address):
            channel = GrpcChannel(address)
            calls = [
                asyncio.create_task(channel.ask(ECHO, BytesValue(value=b"%d" % number), TIMEOUT_S))
                for number in range(7)
            ]
            while sum(connection.num_calls for connection in channel._connections) < 7:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert [connection.num_calls for connection in channel._connections] == [2, 2, 2, 1]
            # One more on a full connection is that call's error, and nobody else's.
            receiver = Receiver()
            channel._connections[0].start(ECHO.path, b"", receiver)
            assert (await receiver.ended).code is grpc.StatusCode.UNAVAILABLE
            released.set()
            assert [answer.value for answer in await asyncio.gather(*calls)] == [b"%d" % n for n in range(7)]
            channel.close()

    run(test)


def test_a_call_on_a_connection_that_was_just_lost_ends() -> None:
    async def test() -> None:
        async with serving(echo) as (_, address):
            connection = await GrpcChannel(address).connected()
            connection.close()
            receiver = Receiver()
            call = connection.start(ECHO.path, b"", receiver)
            assert (await receiver.ended).code is grpc.StatusCode.UNAVAILABLE
            connection.cancel(call)
            assert connection.num_calls == 0

    run(test)


def test_a_server_that_is_killed_and_comes_back() -> None:
    async def test() -> None:
        ends = Ends()
        async with serving(ends.handler) as (_, address):
            channel = GrpcChannel(address)
            task = asyncio.create_task(channel.collect(ECHO, BytesValue(), TIMEOUT_S))
            await ends.begun.wait()
        with pytest.raises(GrpcError) as raised:
            await task
        assert raised.value.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        with pytest.raises(GrpcError) as raised:
            await channel.ask(ECHO, BytesValue(), TIMEOUT_S)
        assert raised.value.code is grpc.StatusCode.UNAVAILABLE
        async with serving(echo, address):
            await channel.ask(ECHO, BytesValue(), TIMEOUT_S)
            channel.close()

    run(test)


# Frames of HTTP/2 (RFC 9113 4.1): length, type, flags, stream.
ANY_NUMBER = b"\0\0\0\4\0\0\0\0\0"
# The setting 3 is MAX_CONCURRENT_STREAMS (6.5.2).
NO_CALLS = b"\0\0\6\4\0\0\0\0\0" + b"\0\3\0\0\0\0"
MORE_PADDING_THAN_DATA = b"\0\0\1\0\x08\0\0\0\1" + b"\x09"
NO_LENGTH_OF_PADDING = b"\0\0\0\0\x08\0\0\0\1"
# An empty message, which ends the request.
REQUEST = b"\0\0\5\0\1\0\0\0\1" + b"\0\0\0\0\0"


@asynccontextmanager
async def speaking(settings: bytes, answer: bytes = b"") -> AsyncIterator[tuple[str, list[None]]]:
    """A server that answers a request with these bytes, and the connections that it got."""
    made: list[None] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(None)
        writer.write(settings)
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(REQUEST)
            writer.write(answer)
            await reader.read()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", made


def test_a_server_that_takes_no_calls_is_not_asked_for_ever() -> None:
    async def test() -> None:
        async with speaking(NO_CALLS) as (address, made):
            channel = GrpcChannel(address)
            with pytest.raises(GrpcError) as raised:
                await channel.ask(ECHO, BytesValue(), 3.0)
            assert (raised.value.code, len(made)) == (grpc.StatusCode.UNAVAILABLE, 1)
            channel.close()

    run(test)


@pytest.mark.parametrize("frame", [MORE_PADDING_THAN_DATA, NO_LENGTH_OF_PADDING])
def test_padding_that_can_not_be_ends_the_call(frame: bytes) -> None:
    async def test() -> None:
        async with speaking(ANY_NUMBER, frame) as (address, _):
            channel = GrpcChannel(address)
            with pytest.raises(GrpcError, match="padding"):
                await channel.ask(ECHO, BytesValue(), 3.0)
            assert channel.connection is not None
            channel.close()

    run(test)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\4\x63\0\0\0\0\0abcd"])
def test_a_server_that_speaks_something_else(answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            channel = GrpcChannel(f"{host}:{port}")
            with pytest.raises(GrpcError) as raised:
                await channel.ask(ECHO, BytesValue(), TIMEOUT_S)
            assert raised.value.code is grpc.StatusCode.UNAVAILABLE

    run(test)


def test_a_socket_in_the_file_system(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(echo, f"unix:{tmp_path / 'triton.sock'}") as (_, address):
            channel = GrpcChannel(address)
            assert (await channel.ask(ECHO, BytesValue(value=b"a"), TIMEOUT_S)).value == b"a"
            channel.close()

    run(test)


def test_a_port_that_nobody_listens_on() -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with pytest.raises(GrpcError) as raised:
            await GrpcChannel(f"127.0.0.1:{port}").ask(ECHO, BytesValue(), TIMEOUT_S)
        assert raised.value.code is grpc.StatusCode.UNAVAILABLE

    run(test)
