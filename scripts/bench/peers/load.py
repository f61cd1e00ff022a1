"""One load client for every server: streamed chats, greedy, a fixed number in flight.

Conversations of one question each: fixed, all different from their first word on.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

NUM_NEW_TOKENS = 128
TIMEOUT_S = 900.0
# Of a long question; with the chat template it is about a thousand tokens, a short one about 150.
NUM_SENTENCES = {"short": 6, "long": 56}

_PEOPLE = [
    "the harbour master",
    "a retired teacher",
    "two engineers",
    "the youngest gardener",
    "our neighbour",
    "a visiting doctor",
    "the night porter",
    "a travelling cellist",
    "the baker's son",
    "an old fisherman",
    "the new librarian",
    "a shy cartographer",
]
_DEEDS = [
    "repaired",
    "counted",
    "forgot",
    "painted",
    "sold",
    "photographed",
    "described",
    "borrowed",
    "weighed",
    "hid",
    "measured",
    "returned",
]
_THINGS = [
    "a brass telescope",
    "thirty wooden crates",
    "the broken clock",
    "a letter without a stamp",
    "seven jars of honey",
    "an unfinished map",
    "the green bicycle",
    "a box of lenses",
    "the ferry's anchor",
    "a sack of lentils",
    "four lanterns",
    "a violin case",
]
_PLACES = [
    "behind the station",
    "on the northern pier",
    "in the flooded cellar",
    "near the observatory",
    "under the stone bridge",
    "at the edge of the market",
    "beside the old mill",
    "in the greenhouse",
    "above the pharmacy",
    "along the canal",
]
_TIMES = [
    "before sunrise",
    "during the storm",
    "on the last day of March",
    "after the concert",
    "at low tide",
    "in the first frost",
    "while the others slept",
    "shortly after noon",
    "at the end of a dry summer",
    "on a Tuesday",
]
_QUESTIONS = (
    "What would you ask them first, and why?",
    "Explain how these events may hang together.",
    "Write the beginning of a story out of this.",
    "Which of these facts matters most? Give your reasons.",
    "Describe what happened next in plain words.",
)


class Broken(Exception):
    """A server answered with something else than a stream of text; its text says with what."""


@dataclass(frozen=True)
class Answer:
    """Seconds since the request was sent."""

    first_text_s: float
    end_s: float
    tokens: int


@dataclass(frozen=True)
class Load:
    """`tokens_per_s` of output, of all requests together."""

    tokens_per_s: float
    answers: Sequence[Answer]


def drive(url: str, body: Mapping[str, Any], questions: Sequence[str], concurrency: int) -> Load:
    """Asks all questions, `concurrency` at once; raises Broken."""
    return asyncio.run(_drive(url, body, questions, concurrency))


async def _drive(url: str, body: Mapping[str, Any], questions: Sequence[str], concurrency: int) -> Load:
    left = iter(questions)
    # A connection each: a server that closes an idle one at the wrong moment would end the run.
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits) as client:
        start = time.perf_counter()
        lists = await asyncio.gather(*(_client(client, body, left) for _ in range(concurrency)))
        seconds = time.perf_counter() - start
    answers = [answer for answers in lists for answer in answers]
    return Load(sum(answer.tokens for answer in answers) / seconds, answers)


async def _client(client: httpx.AsyncClient, body: Mapping[str, Any], left: Iterator[str]) -> list[Answer]:
    return [await _ask(client, {**body, **_chat(question)}) for question in left]


def _chat(question: str) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": NUM_NEW_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _ask(client: httpx.AsyncClient, body: Mapping[str, Any]) -> Answer:
    start = time.perf_counter()
    first_text_s = None
    received = b""
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.is_error:
            raise Broken(f"{response.status_code} {(await response.aread())[:300]!r}")
        async for piece in response.aiter_raw():
            received += piece
            # Frames are read once the load is over, but for the first ones.
            if first_text_s is None and any(map(_has_text, _frames(received))):
                first_text_s = time.perf_counter() - start
    tokens = count_tokens(received)
    if first_text_s is None or not tokens:
        raise Broken(f"a stream without text: {received[-300:]!r}")
    return Answer(first_text_s, time.perf_counter() - start, tokens)


def count_tokens(stream: bytes) -> int:
    """By the server's own usage, or the frames with text where it sends none."""
    frames = list(_frames(stream))
    usages = [frame["usage"]["completion_tokens"] for frame in frames if frame.get("usage")]
    return int(usages[-1]) if usages else sum(map(_has_text, frames))


def _frames(stream: bytes) -> Iterator[dict[str, Any]]:
    """Those that have come whole."""
    for event in stream.split(b"\n\n")[:-1]:
        if event.startswith(b"data: {"):
            yield json.loads(event.removeprefix(b"data: "))


def _has_text(frame: Mapping[str, Any]) -> bool:
    return any((choice.get("delta") or {}).get("content") for choice in frame.get("choices") or ())


def question(kind: str, number: int) -> str:
    """The question of that number, "short" or "long"; the same on every machine."""
    numbers = random.Random(f"{kind} {number}")  # noqa: S311 - not a secret
    sentences = [f"Case {numbers.randrange(10_000)}."]
    for _ in range(NUM_SENTENCES[kind]):
        parts = [numbers.choice(words) for words in (_PEOPLE, _DEEDS, _THINGS, _PLACES, _TIMES)]
        sentences.append(f"{' '.join(parts).capitalize()}.")
    return " ".join([*sentences, numbers.choice(_QUESTIONS)])
