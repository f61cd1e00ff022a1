"""h11's parser with the limits that it lacks: on a head that comes whole, on headers, on chunks.

h11 0.16 bounds only what is incomplete, so that a head of any size passes when it comes in one piece.
"""

import re
from typing import TypeAlias

import h11

from frontend.errors import ApiError, HeadTooLarge, InvalidRequest, UrlTooLong

MAX_HEAD_BYTES = 32 * 1024
MAX_URL_BYTES = 8 * 1024
MAX_HEADERS = 100
# Parsing one costs 12 us; bodies of one-byte chunks have killed Triton's HTTP server (CVE-2025-23310).
MAX_CHUNKS = 8192

# Some clients end a body with one; RFC 9112 (2.2) asks servers to ignore them before a request line.
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")
# The first half of one, at the end of what has come.
_HALF_LINE = b"\r"

_Event: TypeAlias = "h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]"


class StrictParser(h11.Connection):
    """The server's side of a connection; `refusal` tells why next_event raised RemoteProtocolError."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self.refusal: ApiError | None = None
        self._num_chunks = 0

    def next_event(self) -> _Event:
        if self.their_state is h11.IDLE and self._is_between_requests():
            return h11.NEED_DATA
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            is_too_large = error.error_status_hint == HeadTooLarge.status
            self.refusal = _head_too_large() if is_too_large else InvalidRequest("This is not valid HTTP.")
            raise
        self.refusal = self._refusal_of(event)
        if self.refusal is not None:
            raise h11.RemoteProtocolError(self.refusal.message)
        return event

    def _is_between_requests(self) -> bool:
        """Takes empty lines away; whether only the first half of one is left."""
        waiting, _ = self.trailing_data
        if match := _EMPTY_LINES.match(waiting):
            self._receive_buffer.maybe_extract_at_most(match.end())
            waiting = waiting[match.end() :]
        return waiting == _HALF_LINE

    def _refusal_of(self, event: _Event) -> ApiError | None:
        if isinstance(event, h11.Request):
            self._num_chunks = 0
            return _refusal_of_head(event)
        if isinstance(event, h11.Data):
            self._num_chunks += event.chunk_start
            if self._num_chunks > MAX_CHUNKS:
                return InvalidRequest(f"The body comes in more than {MAX_CHUNKS} chunks.")
        return None


def _refusal_of_head(request: h11.Request) -> ApiError | None:
    if len(request.target) > MAX_URL_BYTES:
        return UrlTooLong(f"The URL is longer than {MAX_URL_BYTES} bytes.")
    num_bytes = sum(len(name) + len(value) for name, value in request.headers)
    if num_bytes > MAX_HEAD_BYTES or len(request.headers) > MAX_HEADERS:
        return _head_too_large()
    names = {name for name, _ in request.headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        # Two servers that disagree on which of them counts see different requests.
        return InvalidRequest("Content-Length and Transfer-Encoding exclude each other.")
    return None


def _head_too_large() -> HeadTooLarge:
    return HeadTooLarge(f"The headers are more than {MAX_HEADERS} or larger than {MAX_HEAD_BYTES} bytes.")
