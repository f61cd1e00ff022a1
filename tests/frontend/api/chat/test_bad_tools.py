"""Tools, choices of tools and calls that are refused, each by the name of its field."""

import json

import httpx2 as httpx
import pytest

from tests.fakes.triton_server import FakeTriton
from tests.frontend.conftest import MODEL

USER = [{"role": "user", "content": "hi"}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def tool(name: str, **fields: object) -> dict:
    return {"type": "function", "function": {"name": name, **fields}}


TIME = tool("get_time")


def nested(depth: int) -> dict:
    return {"a": nested(depth - 1)} if depth else {}


BAD = [
    ({"tools": {}}, "tools"),
    ({"tools": [TIME] * 129}, "tools"),
    ({"tools": [TIME, TIME]}, "tools"),
    ({"tools": ["get_time"]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "custom", "custom": {"name": "a"}}]}, "tools[0].type"),
    ({"tools": [{"type": "web_search", "function": {"name": "a"}}]}, "tools[0].type"),
    ({"tools": [TIME, {"type": "function", "function": {}}]}, "tools[1].function.name"),
    ({"tools": [tool("")]}, "tools[0].function.name"),
    ({"tools": [tool("a b")]}, "tools[0].function.name"),
    ({"tools": [tool("a\n")]}, "tools[0].function.name"),
    ({"tools": [tool("a" * 65)]}, "tools[0].function.name"),
    ({"tools": [tool("a", description=5)]}, "tools[0].function.description"),
    ({"tools": [tool("a", strict="yes")]}, "tools[0].function.strict"),
    ({"tools": [tool("a", parameters=[])]}, "tools[0].function.parameters"),
    ({"tools": [tool("a", parameters={"type": "string"})]}, "tools[0].function.parameters"),
    ({"tools": [tool("a", parameters=nested(29))]}, "tools[0].function.parameters"),
    ({"tools": [tool("a", parameters={"title": "x" * 32_768})]}, "tools[0].function.parameters"),
    ({"tools": [TIME], "tool_choice": "any"}, "tool_choice"),
    ({"tools": [TIME], "tool_choice": 5}, "tool_choice"),
    ({"tools": [TIME], "tool_choice": {"type": "custom", "custom": {"name": "a"}}}, "tool_choice"),
    ({"tools": [TIME], "tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tools": [TIME], "tool_choice": NAMED}, "tool_choice"),
    (
        {
            "tools": [TIME],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}},
        },
        "tool_choice",
    ),
    (
        {"tools": [TIME], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "all"}}},
        "tool_choice.allowed_tools.mode",
    ),
    ({"tools": [], "tool_choice": "required"}, "tool_choice"),
    ({"tools": [], "tool_choice": NAMED}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": NAMED}, "tool_choice"),
    ({"tools": [TIME], "tool_choice": "required", "guided_regex": "a"}, "guided_regex"),
    (
        {
            "tools": [tool(f"f{i}", parameters={"title": "x" * 30_000}) for i in range(3)],
            "tool_choice": "required",
        },
        "tool_choice",
    ),
    ({"tools": [TIME], "parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"functions": [{"name": "a"}]}, "functions"),
    ({"function_call": "auto"}, "function_call"),
]


@pytest.mark.row(4)
@pytest.mark.parametrize(("fields", "param"), BAD, ids=range(len(BAD)))
def test_bad_tools(http: httpx.Client, fake: FakeTriton, fields: dict, param: str) -> None:
    assert refused_param(http, {"messages": USER, **fields}) == param
    assert fake.requests == []


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
