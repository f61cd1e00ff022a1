import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from scripts.bench.parts.prompts import (
    LENGTHS,
    _conversation,
    _first_answer,
    measure_lengths,
)

USAGE = {"prompt_tokens": 100, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 64}}


def frames(*frames: dict[str, Any]) -> bytes:
    lines = [f"data: {json.dumps(frame)}\n\n" for frame in frames]
    return "".join([*lines, ": a comment\n\n", "data: [DONE]\n\n"]).encode()


def chunk(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish_reason}]}


class FakeServer:
    """Answers every request with two chunks."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        parts = (chunk(""), chunk(f"answer {len(self.bodies)}"), chunk("", "length"))
        return httpx.Response(200, content=frames(*parts, {"choices": [], "usage": USAGE}))


class FakeEngine:
    """Takes 250 ms for a prompt, and the stack before it 10, 20, 30 and so on more."""

    def __init__(self) -> None:
        self.prompts: list[list[int]] = []
        self.bodies: list[dict[str, Any]] = []

    def first_token_seconds(self, prompt: list[int]) -> float:
        self.prompts.append(prompt)
        return 0.25

    def ask(self, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        self.bodies.append(body)
        times_before = sum(len(earlier["prompt"]) == len(body["prompt"]) for earlier in self.bodies)
        return 0.25 + 0.01 * times_before, {**USAGE, "prompt_tokens": len(body["prompt"])}


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def client(server: FakeServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url="http://server", transport=httpx.MockTransport(server)) as client:
        yield client


def test_the_first_token_is_the_first_text(client: httpx.Client) -> None:
    seconds, text, usage = _first_answer(client, {"messages": []})
    assert seconds > 0
    assert (text, usage) == ("answer 1", USAGE)


def test_an_error_ends_the_measurement() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    client = httpx.Client(base_url="http://server", transport=transport)
    with client, pytest.raises(httpx.HTTPStatusError):
        _first_answer(client, {})


def test_each_length_as_often_as_it_says_and_never_a_prompt_twice() -> None:
    engine = FakeEngine()
    costs = list(measure_lengths(engine.ask, "model", engine))
    assert [cost.prompt_tokens for cost in costs] == list(LENGTHS)
    prompts = [tuple(body["prompt"]) for body in engine.bodies]
    assert len(set(prompts)) == len(prompts) == sum(LENGTHS.values()) + 1
    assert [tuple(prompt) for prompt in engine.prompts] == prompts


def test_what_the_stack_adds_is_the_median_of_the_rounds_differences() -> None:
    engine = FakeEngine()
    *_, cost = measure_lengths(engine.ask, "model", engine)
    assert (cost.turn, cost.cached_tokens, cost.engine_ms) == (0, 64, 250)
    assert (cost.added_ms, cost.ttft_ms) == (pytest.approx(20), pytest.approx(270))
    assert cost.tokens_per_s == pytest.approx((cost.prompt_tokens - 64) / cost.ttft_ms * 1e3)


def test_the_second_turn_has_the_first_in_front(client: httpx.Client, server: FakeServer) -> None:
    first, second = _conversation(client, "model", seed=0)
    assert (first.turn, second.turn) == (1, 2)
    asked, asked_again = (body["messages"] for body in server.bodies)
    assert asked_again[:2] == [*asked, {"role": "assistant", "content": "answer 1"}]
    assert [message["role"] for message in asked_again] == ["user", "assistant", "user"]
