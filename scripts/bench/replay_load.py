"""Completions of the replay engine, whose words tell whether a token was lost or doubled."""

import asyncio
import resource
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import uvloop

from build.errors import Failure
from scripts.bench import raw_stream
from scripts.bench.raw_stream import RawStream
from scripts.bench.stack import HOST, Stack, engine_folder
from scripts.replay.check import words_of

if TYPE_CHECKING:
    from replay_words import ReplayWords


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
        port = self._stack.port
        return [
            await raw_stream.stream(HOST, port, self._body(number, num_tokens, is_stream=True))
            for num_tokens in lengths
        ]

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


def _lengths(share: float, num_tokens: int, num_answers: int) -> list[int]:
    """Of a stream's answers, of which the first has this share of the tokens, and the last what it left."""
    first = round(share * num_tokens)
    lengths = [num_tokens - first, *[num_tokens] * (num_answers - 1), first]
    return [length for length in lengths if length] if num_answers > 1 else [num_tokens]


def _allow_open_files() -> None:
    """A socket a stream: as many as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
