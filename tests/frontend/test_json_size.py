"""Bodies made to keep the server busy are refused without much work; large honest ones pass."""

import asyncio
import json
import time
from typing import Any

import pytest
from pydantic import BaseModel

from frontend.errors import ApiError, InvalidRequest
from frontend.json_size import MAX_ELEMENTS, MAX_MEMBERS, require_modest_size
from frontend.request_body import parse_body
from frontend.requests import ChatRequest, CompletionRequest

MANY = 1_000_000
HI = [{"role": "user", "content": "hi"}]
# Some of these took 3 to 7 s when every wrong element was listed; they take about 0.1 s.
MAX_CPU_S = 1.5


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": HI, **fields}).encode()


def user(content: object) -> bytes:
    return chat(messages=[{"role": "user", "content": content}])


def completion(prompt: object) -> bytes:
    return json.dumps({"model": "m", "prompt": prompt}).encode()


@pytest.mark.row(34)
@pytest.mark.parametrize(
    "body",
    [
        user("word " * 3_000_000),
        user(":" * 2 * MAX_MEMBERS + "," * 2 * MAX_ELEMENTS),
        user('"\\' * MAX_MEMBERS + '":' * 2 * MAX_MEMBERS),
        user("\\" * 101 + '":' * 2 * MAX_MEMBERS),
        chat(messages=HI * 10_000),
        completion([1] * 1_000_000),
        b"",
        b'"' + b":" * 2 * MAX_MEMBERS,
    ],
    ids=range(8),
)
def test_modest_bodies(body: bytes) -> None:
    asyncio.run(require_modest_size(body))


@pytest.mark.row(34)
@pytest.mark.parametrize(
    "body",
    [
        chat(metadata={str(index): 1 for index in range(MAX_MEMBERS)}),
        user([{"type": "text", "text": ":"}] * (MAX_MEMBERS // 2)),
        completion([1] * (MAX_ELEMENTS + 2)),
        b":" * (MAX_MEMBERS + 1),
        b'"\\\\"' + b":" * (MAX_MEMBERS + 1),
    ],
    ids=range(5),
)
def test_immodest_bodies(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asyncio.run(require_modest_size(body))
    assert caught.value.code == "too_many_values"


@pytest.mark.row(34)
@pytest.mark.parametrize(
    ("body", "model", "param"),
    [
        (chat(stop=[1] * MANY), ChatRequest, "stop[0]"),
        (chat(messages=[{}] * MANY), ChatRequest, "messages[0].role"),
        (chat(tools=[{}] * MANY), ChatRequest, "tools[0].type"),
        (user([1] * MANY), ChatRequest, "messages[0].content[0]"),
        (completion([1] + ["a"] * MANY), CompletionRequest, "prompt[1]"),
        (completion(["a"] + [1] * MANY), CompletionRequest, "prompt[1]"),
        (chat(logit_bias={f"x{index}": 1 for index in range(MAX_MEMBERS - 5)}), ChatRequest, "logit_bias.x0"),
    ],
    ids=range(7),
)
def test_a_million_wrong_elements_keep_nobody_waiting(
    body: bytes, model: type[BaseModel], param: str
) -> None:
    asyncio.run(require_modest_size(body))
    start = time.thread_time()
    with pytest.raises(ApiError) as caught:
        parse_body(body, model)
    assert time.thread_time() - start < MAX_CPU_S
    assert caught.value.param == param
