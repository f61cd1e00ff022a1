"""Output tokens per second through the whole stack against the engine alone, in one run."""

import asyncio
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvloop

from scripts.bench import raw_stream
from scripts.bench.parts.bare_engine import BareEngine
from scripts.bench.stack import HOST, Stack, engine_folder, served

CONCURRENCIES = (1, 8, 16, 32)
NUM_ROUNDS = 7
NUM_PROMPT_TOKENS = 64
NUM_NEW_TOKENS = 192


@dataclass(frozen=True)
class Comparison:
    """Medians over the rounds; `ratio` is the median of each round's own ratio."""

    concurrency: int
    stack_tokens_per_s: float
    engine_tokens_per_s: float
    ratio: float


def compare_with_engine() -> Iterator[Comparison]:
    """Interleaves the two, so that both see the same machine."""
    with served() as stack:
        engine = BareEngine(engine_folder() / "model_repository")
        for concurrency in CONCURRENCIES:
            yield _compare(stack, engine, concurrency)


def _compare(stack: Stack, engine: BareEngine, concurrency: int) -> Comparison:
    rounds = []
    for number in range(NUM_ROUNDS + 1):
        prompts = prompts_of(concurrency, seed=number)
        through_stack = uvloop.run(_tokens_per_second(stack, prompts))
        rounds.append((through_stack, engine.tokens_per_second(prompts, NUM_NEW_TOKENS)))
    # The first round warms both up.
    counted = rounds[1:]
    return Comparison(
        concurrency,
        statistics.median(stack for stack, _ in counted),
        statistics.median(engine_alone for _, engine_alone in counted),
        statistics.median(stack / engine_alone for stack, engine_alone in counted),
    )


def prompts_of(concurrency: int, seed: int) -> list[list[int]]:
    """Different ids for each request and round: no prefix is found in the cache."""
    # Ids above the control tokens, below the smallest vocabulary served.
    numbers = random.Random(concurrency * 1000 + seed)  # noqa: S311 - not a secret
    return [[numbers.randrange(300, 30_000) for _ in range(NUM_PROMPT_TOKENS)] for _ in range(concurrency)]


async def _tokens_per_second(stack: Stack, prompts: list[list[int]]) -> float:
    """Of one streamed completion per prompt, all at once."""
    start = time.perf_counter()
    bodies = [_body(stack.model, prompt) for prompt in prompts]
    streams = await asyncio.gather(*(raw_stream.stream(HOST, stack.port, body) for body in bodies))
    return sum(int(stream.usage["completion_tokens"]) for stream in streams) / (time.perf_counter() - start)


def _body(model: str, prompt: list[int]) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": NUM_NEW_TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
