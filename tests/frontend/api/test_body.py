"""Bodies made to keep the server busy are refused without much work; large honest ones pass."""

import asyncio
import json
import time
from typing import Any

import pytest
from pydantic import BaseModel

from frontend.api.body import BYTES_PER_UNIT, ELEMENTS_PER_UNIT, MAX_WEIGHT, parse_body, require_modest_size
from frontend.api.chat.request import ChatRequest
from frontend.api.completions.request import CompletionRequest
from frontend.errors import ApiError, InvalidRequest

# Members, with what surrounds them, and list elements that just pass.
MANY = MAX_WEIGHT * 3 // 4
MANY_ELEMENTS = MAX_WEIGHT * ELEMENTS_PER_UNIT * 5 // 8
HI = [{"role": "user", "content": "hi"}]
# Some of these took 3 to 43 s when there were no bounds; they take 0.06 s at most.
MAX_CPU_S = 1.0


def chat(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": HI, **fields}).encode()


def user(content: object) -> bytes:
    return chat(messages=[{"role": "user", "content": content}])


def completion(prompt: object) -> bytes:
    return json.dumps({"model": "m", "prompt": prompt}).encode()


def called_with(*arguments: str) -> bytes:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": text}} for text in arguments
    ]
    return chat(messages=[*HI, {"role": "assistant", "tool_calls": calls}])


@pytest.mark.row(34)
@pytest.mark.parametrize(
    "body",
    [
        user("word " * 3_000_000),
        user(":" * 2 * MAX_WEIGHT + "," * 2 * ELEMENTS_PER_UNIT * MAX_WEIGHT),
        user('"\\' * MAX_WEIGHT + '":[{' * MAX_WEIGHT),
        user("\\" * 101 + '":' * 2 * MAX_WEIGHT),
        chat(messages=HI * 10_000),
        completion([128_000] * 131_072),
        completion([[1] * 4096] * 64),
        b"",
        b'"' + b":" * 2 * MAX_WEIGHT,
    ],
    ids=range(9),
)
def test_modest_bodies(body: bytes) -> None:
    asyncio.run(require_modest_size(body))


@pytest.mark.row(34)
@pytest.mark.parametrize(
    "body",
    [
        chat(metadata={str(index): 1 for index in range(MAX_WEIGHT)}),
        user([{"type": "text", "text": ":"}] * (MAX_WEIGHT // 3)),
        completion([1] * ELEMENTS_PER_UNIT * (MAX_WEIGHT + 1)),
        completion(['"'] * ELEMENTS_PER_UNIT * (MAX_WEIGHT + 1)),
        completion([[]] * (MAX_WEIGHT + 1)),
        b"[" * (MAX_WEIGHT + 1),
        b"{" * (MAX_WEIGHT + 1),
        b":" * (MAX_WEIGHT + 1),
        b'"\\\\"' + b":" * (MAX_WEIGHT + 1),
        b"1" * (MAX_WEIGHT + 1) * BYTES_PER_UNIT,
    ],
    ids=range(10),
)
def test_immodest_bodies(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asyncio.run(require_modest_size(body))
    assert caught.value.code == "too_many_values"


@pytest.mark.row(34)
@pytest.mark.parametrize(
    ("body", "model", "param"),
    [
        (chat(stop=[1] * MANY_ELEMENTS), ChatRequest, "stop[0]"),
        (chat(messages=[{}] * MANY), ChatRequest, "messages[0].role"),
        (chat(tools=[{}] * MANY), ChatRequest, "tools[0].type"),
        (user([1] * MANY_ELEMENTS), ChatRequest, "messages[0].content[0]"),
        (completion([1] + ["a"] * MANY_ELEMENTS), CompletionRequest, "prompt[1]"),
        (completion(["a"] + [1] * MANY_ELEMENTS), CompletionRequest, "prompt[1]"),
        (chat(logit_bias={f"x{index}": 1 for index in range(MANY)}), ChatRequest, "logit_bias"),
        (
            chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {"enum": [1] * MANY}}}]),
            ChatRequest,
            "tools[0].function.parameters",
        ),
        *(
            (called_with(*texts), ChatRequest, f"messages[1].tool_calls[{call}].function.arguments")
            for call, texts in [
                (0, ['{"a": [' + "[]," * 5_000_000 + "1]}"]),
                (1, ['{"a": 1}', '{"a": [' + "[]," * MAX_WEIGHT + "1]}"]),
                (3, ['{"a": [' + "[]," * (MAX_WEIGHT // 4) + "1]}"] * 9),
                (2, [json.dumps({"a": "a" * 400_000})] * 4),
            ]
        ),
    ],
    ids=range(12),
)
def test_wrong_elements_in_the_thousands_keep_nobody_waiting(
    body: bytes, model: type[BaseModel], param: str
) -> None:
    asyncio.run(require_modest_size(body))
    start = time.thread_time()
    with pytest.raises(ApiError) as caught:
        parse_body(body, model)
    assert time.thread_time() - start < MAX_CPU_S
    assert caught.value.param == param


def test_calls_with_long_arguments_pass() -> None:
    text = json.dumps({"path": "a.json", "content": json.dumps([{"a": "b,"}] * 20_000)})
    parse_body(called_with(text, text, ""), ChatRequest)
