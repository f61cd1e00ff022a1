"""One client's connection: uvicorn's, with deadlines, and with refusals in OpenAI's form.

uvicorn 0.54 waits for ever for the rest of a request, and for a client that has stopped reading.
"""

import asyncio
import json
import socket
import struct
import uuid
import weakref
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from frontend.errors import ApiError, InvalidRequest, RequestTimeout, to_body
from frontend.logs import REQUEST_ID_HEADER
from frontend.metrics.counters import OTHER, SharedMetrics, count_answer
from frontend.server.parser import StrictParser
from frontend.writer import WRITER

# What the kernel holds for a client that does not read; its own limit of 4 MB is much for thousands of them.
SEND_BUFFER_BYTES = 128 * 1024
# What a client must take within the send deadline, if so much waits: a byte now and then is not enough.
MIN_TAKEN_BYTES = 64 * 1024
# Until a refused client has read why: closing on data that is still coming would reset the connection.
LINGER_S = 1.0
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class ConnectionDeadlines:
    """Seconds: for a whole request to come; for a client to take what waits for it, or MIN_TAKEN_BYTES."""

    receive_s: float
    send_s: float


class HttpConnection(H11Protocol):
    """A request finds its own in its state, as the writer of its answer."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        deadlines: ConnectionDeadlines,
        metrics: SharedMetrics,
    ) -> None:
        # Weak: a connection that held itself would keep its buffers until the next look for garbage.
        super().__init__(config, server_state, {**app_state, WRITER: weakref.proxy(self)}, _loop)
        self.conn: StrictParser = StrictParser()
        self._deadlines = deadlines
        self._metrics = metrics
        self._is_refused = False
        self.quiet_since: float = self.loop.time()
        """When its last answer ended, or it was made."""
        self._receive_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Sends a part of the answer that has begun, as ASGI's send would, but past h11 and the layers of the
        application: they take as long as all else that a token needs here, and change nothing on the way.
        """
        cycle = self.cycle
        if not cycle.disconnected:
            is_chunked = cycle.scope["http_version"] == "1.1"
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if is_chunked else data)

    @property
    def is_quiet(self) -> bool:
        """Whether no request runs and no answer waits to be taken; a request may be on its way."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return is_answered and not self.transport.get_write_buffer_size()

    @property
    def is_full(self) -> bool:
        return bool(self.flow.write_paused)

    async def drained(self) -> None:
        await self.flow.drain()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        client = transport.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._watch_receiving()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._end_receive_deadline()
        self._end_send_deadline()

    def data_received(self, data: bytes) -> None:
        if not self._is_refused:
            super().data_received(data)
            self._watch_receiving()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.quiet_since = self.loop.time()
        self._watch_receiving()
        self._watch_closing()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_closing()

    def shutdown(self) -> None:
        super().shutdown()
        self._watch_closing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self.conn.refusal or InvalidRequest(msg))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_send_deadline()

    def resume_writing(self) -> None:
        super().resume_writing()
        # A few bytes may still wait, and nothing more is written that would pause it again.
        if not self.transport.is_closing():
            self._end_send_deadline()

    def _watch_receiving(self) -> None:
        """Runs the receive deadline from the beginning of a request to its end."""
        state = self.conn.their_state
        is_idle = state is h11.IDLE and self.timeout_keep_alive_task is not None
        if self.transport.is_closing() or is_idle or state not in (h11.IDLE, h11.SEND_BODY):
            self._end_receive_deadline()
        elif self._receive_timer is None:
            self._receive_timer = self.loop.call_later(self._deadlines.receive_s, self._receive_too_slow)

    def _receive_too_slow(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self.transport.close()
        else:
            self._refuse(RequestTimeout(f"The request did not come within {self._deadlines.receive_s:g} s."))

    def _end_receive_deadline(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _watch_closing(self) -> None:
        """A transport that closes first sends what it holds, which a client may never take."""
        if self.transport.is_closing():
            self._start_send_deadline()

    def _start_send_deadline(self) -> None:
        if self._send_timer is None:
            num_waiting = self.transport.get_write_buffer_size()
            self._send_timer = self.loop.call_later(self._deadlines.send_s, self._check_taken, num_waiting)

    def _check_taken(self, num_waited: int) -> None:
        """`num_waited` bytes waited at the beginning of the deadline."""
        self._send_timer = None
        if num_waited - self.transport.get_write_buffer_size() >= MIN_TAKEN_BYTES:
            self._start_send_deadline()
        else:
            self._send_too_slow()

    def _send_too_slow(self) -> None:
        self.logger.warning("a client took too little in %g s and was cut off", self._deadlines.send_s)
        # A reset: the kernel drops what it holds instead of offering it for minutes.
        client = self.transport.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _end_send_deadline(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _refuse(self, error: ApiError) -> None:
        """Answers in place of the application, if nothing is answered yet, and ends the connection."""
        self._is_refused = True
        self._end_receive_deadline()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            # The application never hears of it, nor do we know what it was about.
            count_answer(self._metrics.row, OTHER, error.status)
            for event in _events(error):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self._close)

    def _close(self) -> None:
        if self in self.connections:
            self.transport.close()
            self._start_send_deadline()


def _events(error: ApiError) -> list[h11.Event]:
    body = json.dumps(to_body(error)).encode()
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        REQUEST_ID_HEADER: uuid.uuid4().hex,
        **error.headers,
    }
    return [
        h11.Response(status_code=error.status, headers=list(headers.items())),
        h11.Data(data=body),
        h11.EndOfMessage(),
    ]
