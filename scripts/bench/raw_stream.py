"""A load client that costs little: one socket a stream, and of each frame only its time and text are kept."""

import asyncio
import json
import time
from array import array
from typing import Any

_FRAME_END = b"\n\n"
_DONE = b"data: [DONE]"
_TEXT = b'"text":"'


class BrokenStream(Exception):
    """An answer that is no whole stream of events."""


class RawStream:
    """What one streamed completion has brought so far, and when."""

    def __init__(self) -> None:
        self.arrivals = array("d")
        """Seconds of time.monotonic() at which each event with text came."""
        self.num_words_by = array("L")
        """How many words had come with each of these; a word is a token of the replay engine's."""
        self.texts = bytearray()
        """As JSON spells it, without quotes."""
        self.last_frames = (b"", b"")

    @property
    def usage(self) -> dict[str, Any]:
        """As the server counted; the request must ask for it."""
        usage: dict[str, Any] = json.loads(self.last_frames[0].removeprefix(b"data: "))["usage"]
        return usage

    def take(self, frame: bytes) -> None:
        _, is_text, rest = frame.partition(_TEXT)
        text = rest[: rest.find(b'"')]
        if is_text and text:
            self.arrivals.append(time.monotonic())
            self.num_words_by.append(text.count(b" ") + (self.num_words_by[-1] if self.num_words_by else 0))
            self.texts += text
        self.last_frames = (self.last_frames[1], frame)


class _Client(asyncio.Protocol):
    """Takes the chunked body of one answer apart as it comes."""

    def __init__(self, request: bytes, stream: RawStream) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stream = stream
        self._request = request
        self._rest = b""
        self._is_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        rest = self._rest + data
        if not self._is_body:
            head, separator, body = rest.partition(b"\r\n\r\n")
            if not separator:
                self._rest = rest
                return
            if not head.startswith(b"HTTP/1.1 200"):
                self._end(BrokenStream(rest.decode(errors="replace")))
                return
            self._is_body, rest = True, body
        self._rest = self._take_chunks(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or BrokenStream("the connection was closed before the end"))

    def _take_chunks(self, data: bytes) -> bytes:
        """Returns what is not yet a whole chunk; the frontend never cuts a frame in two chunks."""
        start = 0
        while (line_end := data.find(b"\r\n", start)) >= 0:
            size = int(data[start:line_end], 16)
            end = line_end + 2 + size
            if size == 0:
                is_whole = self._stream.last_frames[1] == _DONE
                self._end(None if is_whole else BrokenStream(f"ends in {self._stream.last_frames[1]!r}"))
                return b""
            if len(data) < end + 2:
                break
            for frame in data[line_end + 2 : end].split(_FRAME_END)[:-1]:
                self._stream.take(frame)
            start = end + 2
        return data[start:]

    def _end(self, error: Exception | None) -> None:
        if not self.ended.done():
            if error is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(error)
            self._transport.close()


async def stream(host: str, port: int, body: dict[str, Any]) -> RawStream:
    """One streamed completion on a connection of its own; raises BrokenStream."""
    received = RawStream()
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: _Client(_post(host, body), received), host, port
    )
    await client.ended
    return received


async def whole(host: str, port: int, body: dict[str, Any]) -> dict[str, Any]:
    """One completion that comes whole; raises BrokenStream."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_post(host, body))
        head, _, content = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if not head.startswith(b"HTTP/1.1 200"):
        raise BrokenStream((head + content).decode(errors="replace"))
    answer: dict[str, Any] = json.loads(content)
    return answer


def _post(host: str, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
