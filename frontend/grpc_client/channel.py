"""A gRPC server: a connection to it whenever there are calls, and calls that wait for their answer."""

import asyncio
from collections.abc import Sequence
from typing import Generic, TypeVar

from google.protobuf.message import Message
from grpc import StatusCode

from frontend.addresses import parse_target
from frontend.grpc_client.connection import GrpcConnection
from frontend.grpc_client.status import GrpcError, GrpcStatus

Response = TypeVar("Response", bound=Message)

CONNECT_TIMEOUT_S = 5.0


class Method(Generic[Response]):
    """A method of a service, and what it answers with."""

    def __init__(self, path: str, response_type: type[Response]) -> None:
        self.path = path
        self.response_type = response_type


class GrpcChannel:
    """Raises GrpcError: UNAVAILABLE when there is no connection, which the next call tries to make again.

    Servers and proxies bound the calls of a connection (nginx 128, haproxy 100): one more makes another.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._connections: list[GrpcConnection] = []
        self._connecting: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Ends the calls that run."""
        if self._connecting is not None:
            self._connecting.cancel()
        for connection in self._connections:
            connection.close()

    @property
    def connection(self) -> GrpcConnection | None:
        """One that stands and has room for a call, if any."""
        return next((connection for connection in self._connections if connection.has_room), None)

    async def connected(self) -> GrpcConnection:
        """A connection with room; those who wait at once share the attempt, and make more if need be."""
        while (connection := self.connection) is None:
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.create_task(self._connect())
                # Its error is looked at even when all who waited have gone.
                self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
            await asyncio.shield(self._connecting)
        return connection

    async def ask(self, method: Method[Response], request: Message, timeout_s: float) -> Response:
        """The one response of a call."""
        responses = await self.collect(method, request, timeout_s)
        if len(responses) != 1:
            raise GrpcError(GrpcStatus(StatusCode.INTERNAL, f"{len(responses)} responses to a unary call"))
        return responses[0]

    async def collect(self, method: Method[Response], request: Message, timeout_s: float) -> list[Response]:
        """All responses of a call; a stream may have none."""
        try:
            return await asyncio.wait_for(self._collect(method, request), timeout_s)
        except asyncio.TimeoutError:
            late = GrpcStatus(StatusCode.DEADLINE_EXCEEDED, f"no answer within {timeout_s:g} s")
            raise GrpcError(late) from None

    async def _collect(self, method: Method[Response], request: Message) -> list[Response]:
        connection = await self.connected()
        collector = _Collector()
        call = connection.start(method.path, request.SerializeToString(), collector)
        try:
            status = await collector.ended
        finally:
            connection.cancel(call)
        if status.code is not StatusCode.OK:
            raise GrpcError(status)
        return [method.response_type.FromString(message) for message in collector.messages]

    async def _connect(self) -> None:
        try:
            connection = await asyncio.wait_for(self._open(), CONNECT_TIMEOUT_S)
            self._connections = [it for it in self._connections if it.is_connected]
            self._connections.append(connection)
        except (OSError, asyncio.TimeoutError) as error:
            status = GrpcStatus(StatusCode.UNAVAILABLE, f"can't connect to {self._target}: {error}")
            raise GrpcError(status) from error

    async def _open(self) -> GrpcConnection:
        loop = asyncio.get_running_loop()
        target = parse_target(self._target)
        assert target is not None, self._target  # noqa: S101 - the settings let no other through
        if target.path:
            _, connection = await loop.create_unix_connection(
                lambda: GrpcConnection("localhost"), target.path
            )
            return await _settled(connection)
        authority = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
        _, connection = await loop.create_connection(
            lambda: GrpcConnection(authority), target.host, target.port
        )
        return await _settled(connection)


async def _settled(connection: GrpcConnection) -> GrpcConnection:
    """One that says nothing, or takes no call at all, is closed: others would be made for ever."""
    try:
        await connection.settled
        if not connection.has_room:
            raise ConnectionError("the server takes no calls")
    except BaseException:
        connection.close()
        raise
    return connection


class _Collector:
    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.ended: asyncio.Future[GrpcStatus] = asyncio.get_running_loop().create_future()

    def on_messages(self, messages: Sequence[bytes]) -> None:
        self.messages += messages

    def on_end(self, status: GrpcStatus) -> None:
        if not self.ended.done():
            self.ended.set_result(status)
