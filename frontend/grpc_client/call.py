"""One gRPC call on the wire: its request in parts as the server takes them, its messages out of the data."""

import struct
from collections.abc import Sequence
from typing import Protocol

from grpc import StatusCode

from frontend.grpc_client.status import GrpcStatus

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
# A flag and the length, before each message (gRPC's PROTOCOL-HTTP2.md).
_PREFIX = struct.Struct(">BI")


class Receiver(Protocol):
    """Whoever made the call; called in the event loop, and never raises."""

    def on_messages(self, messages: Sequence[bytes]) -> None:
        """Those that came with one read of the socket, in order."""

    def on_end(self, status: GrpcStatus) -> None:
        """Once, and nothing comes behind it."""


class GrpcCall:
    """One stream of a connection."""

    def __init__(self, stream_id: int, request: bytes, receiver: Receiver) -> None:
        self.stream_id = stream_id
        self.receiver = receiver
        self.unsent = memoryview(_PREFIX.pack(0, len(request)) + request)
        self.unacknowledged = 0
        """Bytes that came since the server was last told that it may send more."""
        self.status: GrpcStatus | None = None
        """As soon as the trailers have come."""
        self.messages: list[bytes] = []
        """Whole, and not yet handed on."""
        self._rest = bytearray()
        self._num_needed = _PREFIX.size
        """Bytes without which the rest is not looked at again."""

    def take(self, data: bytes) -> GrpcStatus | None:
        """Keeps the messages that are whole with this data; the status of a call that can't go on."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._num_needed:
                return None
            data = bytes(self._rest)
            self._rest.clear()
        start, end = 0, len(data)
        while end - start >= _PREFIX.size:
            is_compressed, length = _PREFIX.unpack_from(data, start)
            if is_compressed:
                return GrpcStatus(StatusCode.UNIMPLEMENTED, "a compressed message, which was not asked for")
            if length > MAX_MESSAGE_BYTES:
                return GrpcStatus(StatusCode.RESOURCE_EXHAUSTED, f"a message of {length} bytes")
            next_message = start + _PREFIX.size + length
            if next_message > end:
                self._num_needed = next_message - start
                break
            self.messages.append(data[start + _PREFIX.size : next_message])
            start = next_message
        else:
            self._num_needed = _PREFIX.size
        self._rest += data[start:]
        return None

    def hand_on(self) -> None:
        if self.messages:
            messages, self.messages = self.messages, []
            self.receiver.on_messages(messages)
