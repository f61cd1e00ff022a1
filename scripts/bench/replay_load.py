"""Completions of the replay engine, whose words tell whether a token was lost or doubled."""

import asyncio
import resource
from typing import TYPE_CHECKING, Any

import uvloop

from scripts.bench import raw_stream
from scripts.bench.raw_stream import RawStream
from scripts.bench.stack import HOST, Stack, engine_folder
from scripts.failure import Failure
from scripts.replay.check import words_of

if TYPE_CHECKING:
    from replay_words import ReplayWords


class ReplayLoad:
    """Load on a stack that serves the replay engine; what it answers is checked to the word."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._words: ReplayWords = words_of(engine_folder())
        _allow_open_files()

    def stream(self, num_streams: int, num_tokens: int) -> list[RawStream]:
        """Streams of so many tokens each, all at once, without usage, as the SDK asks for them by itself.

        Raises Failure for a token too many or too few.
        """
        streams = uvloop.run(self._stream(num_streams, num_tokens))
        for stream in streams:
            self._check(stream.texts.decode(), num_tokens)
        return streams

    def whole(self, num_requests: int, num_tokens: int) -> None:
        """The same, each answer as one."""
        for answer in uvloop.run(self._whole(num_requests, num_tokens)):
            self._check(answer["choices"][0]["text"], num_tokens)
            if answer["usage"]["completion_tokens"] != num_tokens:
                raise Failure(f"{answer['usage']} was counted, and {num_tokens} tokens wanted")

    async def _stream(self, num_streams: int, num_tokens: int) -> list[RawStream]:
        port = self._stack.port
        return await asyncio.gather(
            *(
                raw_stream.stream(HOST, port, self._body(number, num_tokens, is_stream=True))
                for number in range(num_streams)
            )
        )

    async def _whole(self, num_requests: int, num_tokens: int) -> list[dict[str, Any]]:
        port = self._stack.port
        return await asyncio.gather(
            *(
                raw_stream.whole(HOST, port, self._body(number, num_tokens, is_stream=False))
                for number in range(num_requests)
            )
        )

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


def _allow_open_files() -> None:
    """A socket a stream: as many as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
