"""Fields that no model here has: told by name at every depth, or refused, and never given to the engine."""

import json
from typing import Any

import httpx2 as httpx
import pytest

from frontend.api.validation.unknown_fields import HINTS, REFUSED
from scripts.fuzz.generated_request import ENDPOINTS
from tests.fakes.clients import http_client
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, serving

CHAT, COMPLETIONS, RESPONSES, MESSAGES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
)
X = {"x_field": 1}
USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {}}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [USER]},
    COMPLETIONS: {"prompt": "hi"},
    RESPONSES: {"input": "hi"},
    MESSAGES: {"messages": [USER], "max_tokens": 9},
}
# Path, fields of the body, the place of what is unknown.
NESTED: list[tuple[str, dict[str, Any], str]] = [
    (CHAT, X, "x_field"),
    (CHAT, {"messages": [{**USER, **X}]}, "messages[0].x_field"),
    (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", **X}]}]},
        "messages[0].content[0].x_field",
    ),
    (CHAT, {"response_format": {"type": "json_object", **X}}, "response_format.x_field"),
    (
        CHAT,
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, **X}}},
        "response_format.json_schema.x_field",
    ),
    (CHAT, {"tools": [{"type": "function", "function": {"name": "f"}, **X}]}, "tools[0].x_field"),
    (CHAT, {"tools": [{"type": "function", "function": {"name": "f", **X}}]}, "tools[0].function.x_field"),
    (CHAT, {"stream": True, "stream_options": X}, "stream_options.x_field"),
    (CHAT, {"structured_outputs": {"regex": "a", **X}}, "structured_outputs.x_field"),
    (COMPLETIONS, X, "x_field"),
    (COMPLETIONS, {"response_format": {"type": "text", **X}}, "response_format.x_field"),
    (RESPONSES, X, "x_field"),
    (RESPONSES, {"input": [{**USER, **X}]}, "input[0].x_field"),
    (RESPONSES, {"text": {"format": {"type": "text"}, **X}}, "text.x_field"),
    (RESPONSES, {"text": {"format": {"type": "text", **X}}}, "text.format.x_field"),
    (RESPONSES, {"tools": [{"type": "function", "name": "f", **X}]}, "tools[0].x_field"),
    (MESSAGES, X, "x_field"),
    (MESSAGES, {"tools": [{"name": "f", "input_schema": SCHEMA, **X}]}, "tools[0].x_field"),
    (
        MESSAGES,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi", **X}]}]},
        "messages[0].content[0].x_field",
    ),
    (MESSAGES, {"output_config": X}, "output_config.x_field"),
    ("/tokenize", {"prompt": "hi", **X}, "x_field"),
    ("/tokenize", {"messages": [{**USER, **X}]}, "messages[0].x_field"),
]


def send(http: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    return http.post(path, json={"model": MODEL, **BODIES.get(path, {}), **fields})


@pytest.mark.parametrize(("path", "fields", "place"), NESTED)
def test_an_unknown_field_is_logged_at_every_depth(
    http: httpx.Client,
    fake: FakeTriton,
    caplog: pytest.LogCaptureFixture,
    path: str,
    fields: dict[str, Any],
    place: str,
) -> None:
    fake.reset(Script([tokens("{}")]))
    caplog.set_level("INFO")
    assert send(http, path, **fields).status_code == 200
    assert f"unknown fields ignored: ['{place}']" in caplog.text
    # A template could show it to the model.
    assert all("x_field" not in str(fake.inputs(index)) for index in range(len(fake.requests)))


def test_an_unknown_field_is_refused_at_every_depth_where_that_is_set() -> None:
    with serving(refuse_unknown_fields=True) as stack, http_client(stack.url, API_KEY) as http:
        for path, fields, place in NESTED:
            body = send(http, path, **fields).json()
            assert body["error"]["message"] == f"{place}: unknown field."


@pytest.mark.parametrize("path", BODIES)
def test_what_would_change_the_answer_is_refused_by_name(http: httpx.Client, path: str) -> None:
    validated_by, _ = ENDPOINTS[path]
    for name, default in REFUSED.items():
        if name in validated_by.model_fields:
            continue
        error = send(http, path, **{name: not default if isinstance(default, bool) else "x"}).json()["error"]
        assert error["message"] == f"{name}: this server does not support it."


@pytest.mark.parametrize("path", BODIES)
def test_hints_and_values_that_change_nothing_pass(
    http: httpx.Client, fake: FakeTriton, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level("INFO")
    fake.reset(Script([tokens("ok")]))
    assert send(http, path, **REFUSED, **{name: {"a": "b"} for name in HINTS}).status_code == 200
    assert send(http, path, **dict.fromkeys(REFUSED)).status_code == 200
    assert "unknown fields" not in caplog.text


@pytest.mark.parametrize(
    "hint",
    [
        {"metadata": {"a": "b"}},
        {"prompt_cache_retention": "24h"},
        {"prompt_cache_options": {"mode": "explicit"}},
        {"reasoning_effort": "high"},
        {"verbosity": "low"},
        {"prediction": {"type": "content", "content": "x"}},
        {"function_call": "none"},
        {"functions": []},
        {"store": False},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        {"messages": [USER, {"role": "assistant", "content": "x", "reasoning_content": "hm"}, USER]},
        {"tools": [{"type": "function", "function": {"name": "f"}, "defer_loading": True}]},
    ],
)
def test_hints_of_chats_are_honoured_by_doing_nothing(
    http: httpx.Client, fake: FakeTriton, caplog: pytest.LogCaptureFixture, hint: dict[str, Any]
) -> None:
    caplog.set_level("INFO")
    fake.reset(Script([tokens("ok")]))
    answer = send(http, CHAT, **hint)
    assert answer.status_code == 200
    assert "unknown fields" not in caplog.text
    assert "reasoning_content" not in json.dumps(fake.inputs()["messages"])


def test_a_tier_that_is_asked_for_is_answered_with_the_one_there_is(
    http: httpx.Client, fake: FakeTriton
) -> None:
    fake.reset(Script([tokens("ok")]))
    assert send(http, CHAT, service_tier="flex").json()["service_tier"] == "default"
    assert "service_tier" not in send(http, CHAT).json()
