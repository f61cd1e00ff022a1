"""What prompts cost: time to the first token by their length, and of a conversation's second turn."""

import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2 as httpx

from scripts.bench import stack
from scripts.bench.bare_engine import BareEngine

LENGTHS = (128, 1024, 4096, 8000)
NUM_ROUNDS = 3
NUM_ANSWER_TOKENS = 64
TIMEOUT_S = 300.0
# Of a conversation's first question; each is about four tokens.
NUM_FIRST_NUMBERS = 300


@dataclass(frozen=True)
class PromptCost:
    """Medians over the rounds; `turn` is 0 for a prompt alone; `cached_tokens` were in the KV cache.

    `engine_ms` is what the bare engine took for the same prompt; None for a turn of a conversation.
    """

    turn: int
    prompt_tokens: int
    cached_tokens: int
    ttft_ms: float
    tokens_per_s: float
    """Of the prompt, those that were not in the KV cache."""
    engine_ms: float | None = None


class Engine(Protocol):
    """The part of BareEngine that is used."""

    def first_token_seconds(self, prompt: list[int]) -> float: ...


def measure_prompts() -> Iterator[PromptCost]:
    """Of a stack of its own: prompts by length, then both turns of a conversation."""
    with (
        stack.served() as served,
        httpx.Client(base_url=f"http://{stack.HOST}:{served.port}", timeout=TIMEOUT_S) as client,
    ):
        engine = BareEngine(stack.engine_folder() / "model_repository")
        warm_up = _completion(served.model, 16, seed=0)
        _first_token(client, "/v1/completions", warm_up)
        engine.first_token_seconds(warm_up["prompt"])
        # Lengths in turn, so that all see the same machine.
        rounds = [_by_length(client, served.model, engine, number) for number in range(NUM_ROUNDS)]
        yield from _medians(rounds)
        yield from _medians([_conversation(client, served.model, number) for number in range(NUM_ROUNDS)])


def _by_length(client: httpx.Client, model: str, engine: Engine, seed: int) -> list[PromptCost]:
    costs = []
    for length in LENGTHS:
        body = _completion(model, length, seed)
        seconds, _, usage = _first_token(client, "/v1/completions", body)
        costs.append(_cost(0, usage, seconds, 1e3 * engine.first_token_seconds(body["prompt"])))
    return costs


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
    return {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0}


def _conversation(client: httpx.Client, model: str, seed: int) -> list[PromptCost]:
    numbers = random.Random(seed)  # noqa: S311 - not a secret
    words = " ".join(str(numbers.randrange(1000)) for _ in range(NUM_FIRST_NUMBERS))
    messages: list[dict[str, str]] = []
    turns: list[PromptCost] = []
    for question in (f"Which of these is the largest? {words}", "And which one is the smallest?"):
        messages.append({"role": "user", "content": question})
        body = {"model": model, "messages": messages, "max_tokens": NUM_ANSWER_TOKENS, "temperature": 0}
        seconds, answer, usage = _first_token(client, "/v1/chat/completions", body)
        turns.append(_cost(len(turns) + 1, usage, seconds))
        messages.append({"role": "assistant", "content": answer})
    return turns


def _first_token(client: httpx.Client, path: str, body: dict[str, Any]) -> tuple[float, str, dict[str, Any]]:
    """Seconds until the first text, the whole text, and the usage."""
    start = time.perf_counter()
    usage: dict[str, Any] = {}
    first, text = 0.0, ""
    streamed = {**body, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    with client.stream("POST", path, json=streamed) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            frame = json.loads(line.removeprefix("data: "))
            usage = frame.get("usage") or usage
            for choice in frame["choices"]:
                piece = choice.get("text") or choice.get("delta", {}).get("content") or ""
                if piece or choice["finish_reason"]:
                    first = first or time.perf_counter() - start
                text += piece
    return first, text, usage
