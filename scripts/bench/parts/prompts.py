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

from scripts.bench.load import STREAMED, first_text, random_ids
from scripts.bench.parts.bare_engine import BareEngine
from scripts.bench.stack import HOST, engine_folder, served

# Prompt tokens: how often each is measured.
LENGTHS = {128: 15, 1024: 9, 4096: 3, 8000: 3}
NUM_CONVERSATIONS = 3
NUM_ANSWER_TOKENS = 64
# A first id may be no text yet: half a character, or a control token.
NUM_COMPLETION_TOKENS = 4
TIMEOUT_S = 300.0
# Of a conversation's first question; each is about four tokens.
NUM_FIRST_NUMBERS = 300

HEADING = (
    "Time to the first token, through HTTP and of the engine alone\n"
    "turn   prompt tokens   cached   TTFT ms   engine's ms   added   new tok/s"
)


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
        served() as stack,
        httpx.Client(base_url=f"http://{HOST}:{stack.port}", timeout=TIMEOUT_S) as client,
    ):
        engine = BareEngine(engine_folder() / "model_repository")
        yield from measure_lengths(partial(first_text, stack.port), stack.model, engine)
        conversations = [_conversation(client, stack.model, number) for number in range(NUM_CONVERSATIONS)]
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
    limits = {"max_tokens": NUM_COMPLETION_TOKENS, "temperature": 0, "ignore_eos": True}
    return {"model": model, "prompt": random_ids(length, seed), **limits}


def _conversation(client: httpx.Client, model: str, seed: int) -> list[PromptCost]:
    numbers = random.Random(seed)  # noqa: S311 - not a secret
    words = " ".join(str(numbers.randrange(1000)) for _ in range(NUM_FIRST_NUMBERS))
    messages: list[dict[str, str]] = []
    turns: list[PromptCost] = []
    for question in (f"Which of these is the largest? {words}", "And which one is the smallest?"):
        messages.append({"role": "user", "content": question})
        limits = {"max_tokens": NUM_ANSWER_TOKENS, "temperature": 0, "ignore_eos": True}
        body = {"model": model, "messages": messages, **limits, **STREAMED}
        seconds, answer, usage = _first_answer(client, body)
        turns.append(_cost(len(turns) + 1, usage, seconds))
        messages.append({"role": "assistant", "content": answer})
    return turns


def _first_answer(client: httpx.Client, body: dict[str, Any]) -> tuple[float, str, dict[str, Any]]:
    """Seconds until the first text of a chat, the whole text, and the usage."""
    start = time.perf_counter()
    usage: dict[str, Any] = {}
    first, text = 0.0, ""
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
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


def line(row: PromptCost) -> str:
    turn = row.turn or "-"
    alone = "-" if row.engine_ms is None else f"{row.engine_ms:.0f}"
    added = "-" if row.added_ms is None else f"{row.added_ms:.0f}"
    times = f"{row.ttft_ms:10.0f}{alone:>14}{added:>8}{row.tokens_per_s:13.0f}"
    return f"{turn:>4}{row.prompt_tokens:16}{row.cached_tokens:9}{times}"
