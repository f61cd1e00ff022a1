"""What prompts cost: time to the first token by their length, and of a conversation's second turn."""

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeAlias

import httpx2 as httpx
import uvloop

from scripts.bench import raw_stream, stack
from scripts.bench.parts.bare_engine import BareEngine

# Prompt tokens: how often each is measured.
LENGTHS = {128: 15, 1024: 9, 4096: 3, 8000: 3}
NUM_CONVERSATIONS = 3
NUM_ANSWER_TOKENS = 64
# A first id may be no text yet: half a character, or a control token.
NUM_COMPLETION_TOKENS = 4
TIMEOUT_S = 300.0
# Of a conversation's first question; each is about four tokens.
NUM_FIRST_NUMBERS = 300


@dataclass(frozen=True)
class PromptCost:
    """Medians over the rounds; `turn` is 0 for a prompt alone; `cached_tokens` were in the KV cache."""

    turn: int
    prompt_tokens: int
    cached_tokens: int
    ttft_ms: float
    tokens_per_s: float
    """Of the prompt, those that were not in the KV cache."""
    engine_ms: float | None = None
    """What the bare engine took for the same prompts; None for a turn of a conversation."""
    added_ms: float | None = None
    """Of the rounds' own differences."""


class Engine(Protocol):
    """The part of BareEngine that is used."""

    def first_token_seconds(self, prompt: list[int]) -> float: ...


# A body -> seconds until the first text, and the usage.
Ask: TypeAlias = Callable[[dict[str, Any]], tuple[float, dict[str, Any]]]


def measure_prompts() -> Iterator[PromptCost]:
    """Of a stack of its own: prompts by length, then both turns of a conversation."""
    with (
        stack.served() as served,
        httpx.Client(base_url=f"http://{stack.HOST}:{served.port}", timeout=TIMEOUT_S) as client,
    ):
        engine = BareEngine(stack.engine_folder() / "model_repository")
        yield from measure_lengths(partial(_first_text, served.port), served.model, engine)
        conversations = [_conversation(client, served.model, number) for number in range(NUM_CONVERSATIONS)]
        yield from _medians(conversations)


def measure_lengths(ask: Ask, model: str, engine: Engine) -> Iterator[PromptCost]:
    """Lengths in turn, so that all see the same machine."""
    _by_length(ask, model, engine, min(LENGTHS), seed=-1)
    costs: dict[int, list[PromptCost]] = {length: [] for length in LENGTHS}
    for number in range(max(LENGTHS.values())):
        for length, num_rounds in LENGTHS.items():
            if number < num_rounds:
                costs[length].append(_by_length(ask, model, engine, length, number))
    for measured in costs.values():
        engine_ms = [cost.engine_ms for cost in measured if cost.engine_ms is not None]
        added_ms = [cost.ttft_ms - alone for cost, alone in zip(measured, engine_ms, strict=True)]
        yield replace(
            _median_of(measured),
            engine_ms=statistics.median(engine_ms),
            added_ms=statistics.median(added_ms),
        )


def _by_length(ask: Ask, model: str, engine: Engine, length: int, seed: int) -> PromptCost:
    body = _completion(model, length, seed)
    seconds, usage = ask(body)
    return _cost(0, usage, seconds, 1e3 * engine.first_token_seconds(body["prompt"]))


def _first_text(port: int, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    return uvloop.run(_streamed(port, body))


async def _streamed(port: int, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    start = time.monotonic()
    received = await raw_stream.stream(stack.HOST, port, _with_usage(body))
    return received.arrivals[0] - start, received.usage


def _medians(rounds: Sequence[Sequence[PromptCost]]) -> list[PromptCost]:
    """Of each place in the rounds."""
    same = zip(*rounds, strict=True)
    return [_median_of(list(costs)) for costs in same]


def _median_of(costs: Sequence[PromptCost]) -> PromptCost:
    ttft_ms = statistics.median(cost.ttft_ms for cost in costs)
    return min(costs, key=lambda cost: abs(cost.ttft_ms - ttft_ms))


def _cost(turn: int, usage: dict[str, Any], seconds: float, engine_ms: float | None = None) -> PromptCost:
    num_tokens = usage["prompt_tokens"]
    num_cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    tokens_per_s = (num_tokens - num_cached) / seconds
    return PromptCost(turn, num_tokens, num_cached, 1e3 * seconds, tokens_per_s, engine_ms)


def _completion(model: str, length: int, seed: int) -> dict[str, Any]:
    """Ids that no request before had, so that the cache knows none of them."""
    numbers = random.Random(length * 1000 + seed)  # noqa: S311 - not a secret
    prompt = [numbers.randrange(300, 30_000) for _ in range(length)]
    return {"model": model, "prompt": prompt, "max_tokens": NUM_COMPLETION_TOKENS, "temperature": 0}


def _conversation(client: httpx.Client, model: str, seed: int) -> list[PromptCost]:
    numbers = random.Random(seed)  # noqa: S311 - not a secret
    words = " ".join(str(numbers.randrange(1000)) for _ in range(NUM_FIRST_NUMBERS))
    messages: list[dict[str, str]] = []
    turns: list[PromptCost] = []
    for question in (f"Which of these is the largest? {words}", "And which one is the smallest?"):
        messages.append({"role": "user", "content": question})
        body = {"model": model, "messages": messages, "max_tokens": NUM_ANSWER_TOKENS, "temperature": 0}
        seconds, answer, usage = _first_answer(client, body)
        turns.append(_cost(len(turns) + 1, usage, seconds))
        messages.append({"role": "assistant", "content": answer})
    return turns


def _with_usage(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}


def _first_answer(client: httpx.Client, body: dict[str, Any]) -> tuple[float, str, dict[str, Any]]:
    """Seconds until the first text of a chat, the whole text, and the usage."""
    start = time.perf_counter()
    usage: dict[str, Any] = {}
    first, text = 0.0, ""
    with client.stream("POST", "/v1/chat/completions", json=_with_usage(body)) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            frame = json.loads(line.removeprefix("data: "))
            usage = frame.get("usage") or usage
            for choice in frame["choices"]:
                piece = choice["delta"].get("content") or ""
                if piece or choice["finish_reason"]:
                    first = first or time.perf_counter() - start
                text += piece
    return first, text, usage
