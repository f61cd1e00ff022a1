"""One HTTP/2 connection to a gRPC server, on which calls run side by side, in the event loop itself.

h2 speaks the protocol. Only frames of data, one for each token, are read without it. grpc.aio hands every
message over from a thread of its own, which took more CPU than all else that the frontend does for a token
(docs/performance.md).
"""

import asyncio
import logging
import socket
import struct

from grpc import StatusCode
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hyperframe.frame import DataFrame, GoAwayFrame, WindowUpdateFrame

from frontend.grpc_client.call import GrpcCall, Receiver
from frontend.grpc_client.status import GrpcStatus, status_of_reset, status_of_trailers

logger = logging.getLogger(__name__)

_FRAME_HEADER = struct.Struct(">HBBBL")
_FRAME_HEADER_BYTES = 9
_END_STREAM = 0x1
_PADDED = 0x8
_MAX_WINDOW = 2**31 - 1
_LAST_STREAM_ID = 2**31 - 1
# Told to the server after so many bytes, on a window of 2 GB: what waits for a reader is bounded by messages.
_ACKNOWLEDGED_BYTES = 2**24
# A machine that is gone says nothing: bytes that it has not acknowledged for so long end the connection.
_SILENCE_MS = 20_000
# A message is cut into frames of this size.
_MAX_FRAME_BYTES = 2**20


class GrpcConnection(asyncio.Protocol):
    """Calls that are started on it get an end, at the latest when it is lost."""

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _MAX_WINDOW,
                SettingCodes.MAX_FRAME_SIZE: _MAX_FRAME_BYTES,
            },
        )
        self._calls: dict[int, GrpcCall] = {}
        self._rest = b""
        self._unacknowledged = 0
        self._is_draining = False
        self._transport: asyncio.Transport | None = None
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the server has told how many calls it takes; raises OSError if it goes before."""

    @property
    def is_connected(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def has_room(self) -> bool:
        """Whether a further call may be started."""
        is_full = len(self._calls) >= self._h2.remote_settings.max_concurrent_streams
        return self.is_connected and not self._is_draining and not is_full

    @property
    def num_calls(self) -> int:
        """Those that have not ended."""
        return len(self._calls)

    def start(self, path: str, request: bytes, receiver: Receiver) -> GrpcCall:
        """Sends one message, which ends the request; `path` is that of the method."""
        if not self.has_room:
            # Lost or filled since it was chosen, which can be a moment before.
            gone = GrpcStatus(StatusCode.UNAVAILABLE, "the connection was lost")
            asyncio.get_running_loop().call_soon(receiver.on_end, gone)
            return GrpcCall(0, request, receiver)
        stream_id = self._h2.get_next_available_stream_id()
        if stream_id >= _LAST_STREAM_ID:
            # The next call takes another connection: at 100 calls a second, after 124 days.
            self._is_draining = True
        call = self._calls[stream_id] = GrpcCall(stream_id, request, receiver)
        self._h2.send_headers(
            stream_id,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            ],
        )
        self._send(call)
        self._flush()
        return call

    def cancel(self, call: GrpcCall) -> None:
        """Ends it at once on both sides, if it has not ended."""
        if call.stream_id in self._calls:
            self._break_off(call, GrpcStatus(StatusCode.CANCELLED, "cancelled by the client"))
            self._flush()

    def close(self) -> None:
        """Cuts it; what runs ends as unavailable."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        server = transport.get_extra_info("socket")
        if server.family != socket.AF_UNIX:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE_MS)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_MAX_WINDOW - self._h2.inbound_flow_control_window)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_draining = True
        if not self.settled.done():
            self.settled.set_exception(ConnectionError("the server closed the connection"))
        self._end_all(GrpcStatus(StatusCode.UNAVAILABLE, f"the connection was lost: {exc or 'closed'}"))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        start, end = 0, len(data)
        told: dict[int, GrpcCall] = {}
        while end - start >= _FRAME_HEADER_BYTES:
            high, low, kind, flags, stream_id = _FRAME_HEADER.unpack_from(data, start)
            payload = start + _FRAME_HEADER_BYTES
            next_frame = payload + (high << 8 | low)
            if next_frame > end:
                break
            if kind == DataFrame.type:
                self._take_data(stream_id, flags, data[payload:next_frame], told)
            elif kind == GoAwayFrame.type:
                self._drain(data[payload:next_frame])
            else:
                self._take_frame(data[start:next_frame])
            start = next_frame
        self._rest = data[start:]
        for call in told.values():
            call.hand_on()

    def _take_data(self, stream_id: int, flags: int, payload: bytes, told: dict[int, GrpcCall]) -> None:
        """Adds the call to those that have been told something."""
        self._unacknowledged += len(payload)
        if self._unacknowledged > _ACKNOWLEDGED_BYTES:
            self._acknowledge(0, self._unacknowledged)
            self._unacknowledged = 0
        call = self._calls.get(stream_id)
        if call is None:
            return
        call.unacknowledged += len(payload)
        if call.unacknowledged > _ACKNOWLEDGED_BYTES:
            self._acknowledge(stream_id, call.unacknowledged)
            call.unacknowledged = 0
        told[stream_id] = call
        failure = None
        if flags & _PADDED:
            # RFC 9113 6.1: padding leaves room for its own length.
            if not payload or payload[0] >= len(payload):
                failure = GrpcStatus(StatusCode.INTERNAL, "the server sent more padding than data")
            payload = payload[1 : len(payload) - payload[0]] if failure is None else b""
        failure = failure or call.take(payload)
        if failure is None and flags & _END_STREAM:
            failure = GrpcStatus(StatusCode.INTERNAL, "the server ended the call without a status")
        if failure is not None:
            self._break_off(call, failure)
            self._flush()

    def _acknowledge(self, stream_id: int, num_bytes: int) -> None:
        self._write(WindowUpdateFrame(stream_id, window_increment=num_bytes).serialize())

    def _drain(self, payload: bytes) -> None:
        """The server goes away, but goes on with calls up to the last id it names; h2 would end them all."""
        self._is_draining = True
        last_id = int.from_bytes(payload[:4], "big") & _MAX_WINDOW
        for call in [call for call in self._calls.values() if call.stream_id > last_id]:
            self._end(
                call, GrpcStatus(StatusCode.UNAVAILABLE, "the server goes away and did not take the call")
            )
        self._close_if_drained()

    def _take_frame(self, frame: bytes) -> None:
        try:
            for event in self._h2.receive_data(frame):
                self._handle(event)
        except H2Error as error:
            logger.error("Triton broke the rules of HTTP/2: %r", error)
            self.close()
        self._flush()

    def _handle(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            self._read_headers(event)
        elif isinstance(event, StreamEnded):
            self._end_well(event.stream_id)
        elif isinstance(event, StreamReset):
            if call := self._calls.get(event.stream_id):
                self._end(call, status_of_reset(event.error_code or 0))
        elif isinstance(event, WindowUpdated | RemoteSettingsChanged):
            if isinstance(event, RemoteSettingsChanged) and not self.settled.done():
                self.settled.set_result(None)
            for call in [call for call in self._calls.values() if call.unsent]:
                self._send(call)

    def _read_headers(self, event: ResponseReceived | TrailersReceived) -> None:
        headers = {str(name): str(value) for name, value in event.headers}
        call = self._calls.get(event.stream_id)
        # An error that comes before any message has its status among the first headers.
        if call and (
            isinstance(event, TrailersReceived) or "grpc-status" in headers or headers[":status"] != "200"
        ):
            call.status = status_of_trailers(headers)

    def _end_well(self, stream_id: int) -> None:
        if call := self._calls.get(stream_id):
            status = call.status or GrpcStatus(StatusCode.INTERNAL, "the call ended without a status")
            if call.unsent:
                self._break_off(call, status)
            else:
                self._end(call, status)

    def _send(self, call: GrpcCall) -> None:
        """As much as the server takes now; the rest when it says so."""
        while call.unsent:
            window = self._h2.local_flow_control_window(call.stream_id)
            size = min(window, self._h2.max_outbound_frame_size, len(call.unsent))
            if size <= 0:
                return
            part, call.unsent = call.unsent[:size], call.unsent[size:]
            self._h2.send_data(call.stream_id, part.tobytes(), end_stream=not call.unsent)

    def _break_off(self, call: GrpcCall, status: GrpcStatus) -> None:
        self._h2.reset_stream(call.stream_id, ErrorCodes.CANCEL)
        self._end(call, status)

    def _end(self, call: GrpcCall, status: GrpcStatus) -> None:
        del self._calls[call.stream_id]
        call.hand_on()
        call.receiver.on_end(status)
        self._close_if_drained()

    def _end_all(self, status: GrpcStatus) -> None:
        for call in tuple(self._calls.values()):
            self._end(call, status)

    def _close_if_drained(self) -> None:
        if self._is_draining and not self._calls:
            self.close()

    def _flush(self) -> None:
        self._write(self._h2.data_to_send())

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
