"""Messages of a chat that are refused, each by the name of its field."""

import json

import httpx2 as httpx
import pytest

from tests.frontend.conftest import MODEL

USER = [{"role": "user", "content": "hi"}]


def nested(depth: int) -> dict:
    return {"a": nested(depth - 1)} if depth else {}


def call(arguments: object) -> dict:
    return {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}


BAD_CALLS = [
    ({"arguments": {}}, "function.arguments"),
    ({"arguments": "{"}, "function.arguments"),
    ({"arguments": "[]"}, "function.arguments"),
    ({"arguments": "5"}, "function.arguments"),
    ({"arguments": '{"a": NaN}'}, "function.arguments"),
    ({"arguments": json.dumps(nested(33))}, "function.arguments"),
    ({"arguments": '{"a": ' + "[" * 100_000}, "function.arguments"),
    ({}, "function.arguments"),
    ({"arguments": "{}", "name": ""}, "function.name"),
]


@pytest.mark.row(21)
@pytest.mark.parametrize(("function", "param"), BAD_CALLS, ids=range(len(BAD_CALLS)))
def test_bad_call_in_the_history(http: httpx.Client, function: dict, param: str) -> None:
    bad = {"id": "b", "type": "function", "function": {"name": "f", **function}}
    message = {"role": "assistant", "content": None, "tool_calls": [call(""), bad]}
    assert refused_param(http, {"messages": [*USER, message]}) == f"messages[1].tool_calls[1].{param}"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
        ({"role": "tool", "content": "x", "tool_call_id": "nobody"}, "messages[1].tool_call_id"),
        ({"role": "user", "content": "x", "tool_calls": [call("{}")]}, "messages[1].tool_calls"),
        (
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            "messages[1].function_call",
        ),
        ({"role": "function", "name": "f", "content": "x"}, "messages[1].role"),
        ({"role": "assistant", "audio": {"id": "a"}}, "messages[1].audio"),
    ],
)
def test_bad_message(http: httpx.Client, message: dict, param: str) -> None:
    assert refused_param(http, {"messages": [*USER, message]}) == param


def refused_param(http: httpx.Client, fields: dict) -> str:
    answer = http.post("/v1/chat/completions", json={"model": MODEL, **fields})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"
    return answer.json()["error"]["param"]
