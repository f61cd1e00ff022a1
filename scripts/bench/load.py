"""Load clients that cost little: one socket a stream, and of each frame only its time and text are kept.

What the replay engine answers is checked to the word: they tell whether a token was lost or doubled.
"""

import asyncio
import json
import random
import resource
import time
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import uvloop

from build.errors import Failure
from scripts.bench.stack import HOST, Stack, engine_folder
from scripts.replay.check import words_of

if TYPE_CHECKING:
    from replay_words import ReplayWords

# Output tokens per second of Llama 3.1 8B in FP8 on one H200, 1,000 in and 1,000 out (performance overview of
# TensorRT-LLM 0.17), and the streams over which it is spread.
H200_TOKENS_PER_S = 17_538
H200_STREAMS = (64, 256, 1000)
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
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


async def stream(port: int, body: dict[str, Any]) -> RawStream:
    """One streamed completion on a connection of its own; raises BrokenStream."""
    received = RawStream()
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: _Client(post(body, "Connection: close"), received), HOST, port
    )
    await client.ended
    return received


def first_text(port: int, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Seconds until the first text of a streamed completion, and its usage."""

    async def timed() -> tuple[float, RawStream]:
        return time.monotonic(), await stream(port, {**body, **STREAMED})

    start, received = uvloop.run(timed())
    return received.arrivals[0] - start, received.usage


async def whole(port: int, body: dict[str, Any]) -> dict[str, Any]:
    """One completion that comes whole; raises BrokenStream."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(post(body, "Connection: close"))
        head, _, content = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if not head.startswith(b"HTTP/1.1 200"):
        raise BrokenStream((head + content).decode(errors="replace"))
    answer: dict[str, Any] = json.loads(content)
    return answer


def post(body: dict[str, Any], *headers: str) -> bytes:
    """The request of a completion."""
    content = json.dumps(body).encode()
    lines = ["POST /v1/completions HTTP/1.1", f"Host: {HOST}", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def h200_pace(num_streams: int) -> float:
    """Tokens per second of each of so many streams: fewer than 64 are no faster for that."""
    return H200_TOKENS_PER_S / max(num_streams, H200_STREAMS[0])


def random_ids(length: int, seed: int) -> list[int]:
    """Ids that no request of another seed has, so that the KV cache knows none of them."""
    numbers = random.Random(length * 1000 + seed)  # noqa: S311 - not a secret
    # Above the control tokens, below the smallest vocabulary served.
    return [numbers.randrange(300, 30_000) for _ in range(length)]


class ReplayLoad:
    """Load on a stack that serves the replay engine; what it answers is checked to the word."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._words: ReplayWords = words_of(engine_folder())
        _allow_open_files()

    def stream(self, num_streams: int, num_tokens: int, num_answers: int = 1) -> list[RawStream]:
        """Streams of answers one after another, each of so many tokens; no usage, as the SDK asks by itself.

        All begin and end at once: where they have several answers, each stream's first and last make up one.
        Raises Failure for a token too many or too few.
        """
        lengths = [_lengths(number / num_streams, num_tokens, num_answers) for number in range(num_streams)]
        streams = uvloop.run(self._stream(lengths))
        for answers, wanted in zip(streams, lengths, strict=True):
            for answer, num_wanted in zip(answers, wanted, strict=True):
                self._check(answer.texts.decode(), num_wanted)
        return [answer for answers in streams for answer in answers]

    def whole(self, num_requests: int, num_tokens: int) -> None:
        """The same, each answer as one."""
        for answer in uvloop.run(self._whole(num_requests, num_tokens)):
            self._check(answer["choices"][0]["text"], num_tokens)
            if answer["usage"]["completion_tokens"] != num_tokens:
                raise Failure(f"{answer['usage']} was counted, and {num_tokens} tokens wanted")

    async def _stream(self, lengths: Sequence[Sequence[int]]) -> list[list[RawStream]]:
        return await asyncio.gather(*(self._answers(number, each) for number, each in enumerate(lengths)))

    async def _answers(self, number: int, lengths: Sequence[int]) -> list[RawStream]:
        return [
            await stream(self._stack.port, self._body(number, num_tokens, is_stream=True))
            for num_tokens in lengths
        ]

    async def _whole(self, num_requests: int, num_tokens: int) -> list[dict[str, Any]]:
        bodies = [self._body(number, num_tokens, is_stream=False) for number in range(num_requests)]
        return await asyncio.gather(*(whole(self._stack.port, body) for body in bodies))

    def _body(self, number: int, num_tokens: int, is_stream: bool) -> dict[str, Any]:
        body = {
            "model": self._stack.model,
            "prompt": f"Stream {number} says",
            "max_tokens": num_tokens,
            "temperature": 0,
        }
        return {**body, "stream": True} if is_stream else body

    def _check(self, text: str, num_wanted: int) -> None:
        num_words = len(text.split())
        if num_words != num_wanted or not self._words.is_unbroken(text):
            raise Failure(f"{num_words} words came, {num_wanted} were wanted: {text}")


def _lengths(share: float, num_tokens: int, num_answers: int) -> list[int]:
    """Of a stream's answers, of which the first has this share of the tokens, and the last what it left."""
    first = round(share * num_tokens)
    lengths = [num_tokens - first, *[num_tokens] * (num_answers - 1), first]
    return [length for length in lengths if length] if num_answers > 1 else [num_tokens]


def _allow_open_files() -> None:
    """A socket a stream: as many as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
