"""What the stack adds to the time to the first token, in front of an engine that computes nothing."""

import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from build.paths import ROOT
from scripts.bench.load import first_text, random_ids
from scripts.bench.stack import served

LENGTHS = (128, 1024, 4096, 8000)
NUM_ROUNDS = 25
# English and Markdown, which texts are made of, in which a token has more than three characters.
SOURCE = ROOT / "docs" / "architecture.md"
_CHARACTERS_PER_TOKEN = 3

HEADING = (
    "Milliseconds to the first token, in front of an engine that computes nothing (native-replay)\n"
    "prompt  prompt tokens   median   least    most"
)


@dataclass(frozen=True)
class FirstToken:
    """Milliseconds from the request until its first token is there."""

    prompt: str
    """"ids", or "text", which preprocess makes ids of."""
    prompt_tokens: int
    """As the server counts them, a median too."""
    median_ms: float
    least_ms: float
    most_ms: float


# A body -> seconds until the first token, and how many tokens the prompt has.
Ask: TypeAlias = Callable[[Mapping[str, Any]], tuple[float, int]]


def measure_first_tokens() -> Iterator[FirstToken]:
    """Of a stack of its own."""
    with served(ENGINE="native-replay", TOKENS_PER_SECOND="0") as stack:

        def ask(body: Mapping[str, Any]) -> tuple[float, int]:
            seconds, usage = first_text(stack.port, {"model": stack.model, "max_tokens": 4, **body})
            return seconds, int(usage["prompt_tokens"])

        yield from measure_kinds(ask, SOURCE.read_text())


def measure_kinds(ask: Ask, source: str) -> Iterator[FirstToken]:
    """All kinds in turn, so that they see the same machine; the first of each is not counted."""
    makers: Mapping[str, Callable[[int, int], Any]] = {"ids": random_ids, "text": partial(_text, source)}
    kinds = [(name, length) for length in LENGTHS for name in makers]
    rounds = [
        {(name, length): ask({"prompt": makers[name](length, seed)}) for name, length in kinds}
        for seed in range(NUM_ROUNDS + 1)
    ]
    for kind in kinds:
        yield _summary(kind[0], [each[kind] for each in rounds[1:]])


def _summary(prompt: str, measured: list[tuple[float, int]]) -> FirstToken:
    times = [1e3 * seconds for seconds, _ in measured]
    num_tokens = statistics.median_high(count for _, count in measured)
    return FirstToken(prompt, num_tokens, statistics.median(times), min(times), max(times))


def _text(source: str, length: int, seed: int) -> str:
    """Lines of the source in an order of their own."""
    lines = source.splitlines(keepends=True)
    size = length * _CHARACTERS_PER_TOKEN
    text = ""
    numbers = random.Random(length * 1000 + seed)  # noqa: S311 - not a secret
    while len(text) < size:
        text += numbers.choice(lines)
    return text[:size]


def line(row: FirstToken) -> str:
    return f"{row.prompt:6}{row.prompt_tokens:15}{row.median_ms:9.1f}{row.least_ms:8.1f}{row.most_ms:8.1f}"
