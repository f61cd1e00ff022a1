from typing import Any

import pytest
from chat_messages import read_messages, read_tools
from client_input import ClientError

USER = {"role": "user", "content": "Hi"}


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def call(arguments: Any = "{}", **fields: Any) -> dict[str, Any]:
    return {"id": "call_0", "type": "function", "function": {"name": "now", "arguments": arguments}, **fields}


def assistant(*calls: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **fields}


def tool(**function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "now", **function}}


NOW = {"id": "call_0", "type": "function", "function": {"name": "now", "arguments": {}}}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (USER, USER),
        ({"role": "developer", "content": "Hi"}, {"role": "system", "content": "Hi"}),
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "assistant"}, {"role": "assistant", "content": ""}),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "ab"},
        ),
        (
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "assistant", "content": "No."},
        ),
        (
            {"role": "tool", "content": [{"type": "text", "text": "7"}], "tool_call_id": "call_0"},
            {"role": "tool", "content": "7", "tool_call_id": "call_0"},
        ),
        (
            {
                **USER,
                "name": "ann",
                "refusal": None,
                "annotations": [],
                "tool_calls": None,
                "function_call": None,
            },
            {**USER, "name": "ann"},
        ),
        ({**USER, "tool_calls": []}, USER),
        (assistant(), {"role": "assistant", "content": ""}),
        (assistant(call("{}")), {"role": "assistant", "content": "", "tool_calls": [NOW]}),
        (assistant(call("")), {"role": "assistant", "content": "", "tool_calls": [NOW]}),
        (
            assistant(call({}), content="Wait."),
            {"role": "assistant", "content": "Wait.", "tool_calls": [NOW]},
        ),
        ({"role": "user", "content": "\x00\ufeff"}, {"role": "user", "content": "\x00\ufeff"}),
    ],
)
def test_messages_get_one_form(message: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read_messages([message]) == [expected]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("Hi", ""),
        (None, ""),
        ({"content": "Hi"}, ".role"),
        ({"role": "system\n", "content": "Hi"}, ".role"),
        ({"role": "function", "name": "now", "content": "7"}, ".role"),
        ({"role": ["user"], "content": "Hi"}, ".role"),
        ({"role": "user"}, ".content"),
        ({"role": "user", "content": None}, ".content"),
        ({"role": "tool", "content": None}, ".content"),
        ({"role": "user", "content": 1}, ".content"),
        ({"role": "user", "content": []}, ".content"),
        ({"role": "user", "content": "\udfff"}, ".content"),
        ({"role": "user", "content": ["a"]}, ".content[0]"),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text"}]}, ".content[1].text"),
        ({"role": "user", "content": [{"type": "text", "text": "\ud800"}]}, ".content[0].text"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ".content[0].type"),
        ({"role": "user", "content": [{"type": "refusal", "refusal": "No."}]}, ".content[0].type"),
        ({"role": "user", "content": [{"type": ["text"]}]}, ".content[0].type"),
        ({**USER, "name": 1}, ".name"),
        ({"role": "tool", "content": "7", "tool_call_id": 1}, ".tool_call_id"),
        ({**USER, "tool_calls": [call()]}, ".tool_calls"),
        (assistant(tool_calls="now"), ".tool_calls"),
        (assistant(tool_calls={"0": call()}), ".tool_calls"),
        (assistant(function_call={"name": "now", "arguments": "{}"}), ".function_call"),
        (assistant(call(), "now"), ".tool_calls[1]"),
        (assistant(call(type="custom")), ".tool_calls[0].type"),
        (assistant(call(id=7)), ".tool_calls[0].id"),
        (assistant(call(function=None)), ".tool_calls[0].function"),
        (assistant(call(function={"arguments": "{}"})), ".tool_calls[0].function.name"),
        (assistant(call("{")), ".tool_calls[0].function.arguments"),
        (assistant(call("[]")), ".tool_calls[0].function.arguments"),
        (assistant(call(None)), ".tool_calls[0].function.arguments"),
        (assistant(call('{"a": NaN}')), ".tool_calls[0].function.arguments"),
        (assistant(call('{"a": 1e999}')), ".tool_calls[0].function.arguments"),
        (assistant(call('{"a": "\\ud800"}')), ".tool_calls[0].function.arguments"),
        (assistant(call({"a": deep(65)})), ".tool_calls[0].function.arguments"),
        (assistant(call('{"a":' * 200_000)), ".tool_calls[0].function.arguments"),
    ],
)
def test_a_bad_message_is_named_by_its_path(message: Any, param: str) -> None:
    with pytest.raises(ClientError) as refused:
        read_messages([USER, message])
    assert refused.value.param == "messages[1]" + param
    assert refused.value.message.startswith("messages[1]" + param)
    assert refused.value.code is None


@pytest.mark.parametrize("messages", [None, [], {}, "Hi", 1])
def test_messages_must_be_a_list(messages: Any) -> None:
    with pytest.raises(ClientError, match="at least one message") as refused:
        read_messages(messages)
    assert refused.value.param == "messages"


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_are_none(tools: Any) -> None:
    assert read_tools(tools) is None


def test_tools_are_kept_as_the_client_wrote_them() -> None:
    tools = [tool(strict=None, parameters={"type": "object", "properties": {}})]
    assert read_tools(tools) == tools


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ({}, "tools"),
        ("now", "tools"),
        (["now"], "tools[0]"),
        ([tool(), {"function": {"name": "now"}}], "tools[1].type"),
        ([{"type": "retrieval"}], "tools[0].type"),
        ([{"type": "function"}], "tools[0].function"),
        ([{"type": "function", "function": {}}], "tools[0].function.name"),
        ([tool(description="\ud800")], "tools[0]"),
        ([tool(parameters={"\ud800": 1})], "tools[0]"),
        ([tool(parameters=deep(200))], "tools[0]"),
        ([tool(parameters={"maximum": float("inf")})], "tools[0]"),
    ],
)
def test_a_bad_tool_is_named_by_its_path(tools: Any, param: str) -> None:
    with pytest.raises(ClientError) as refused:
        read_tools(tools)
    assert refused.value.param == param


def test_64_levels_are_accepted() -> None:
    assert read_tools([tool(parameters=deep(60))])
