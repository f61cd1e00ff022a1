"""The Messages API's bad input and failures: each answer has Anthropic's form and names the field."""

import json

import grpc
import httpx2 as httpx
import pytest

from frontend.api.anthropic.request import AnthropicPrompt, AnthropicRequest, to_chat, to_chat_prompt
from frontend.api.body import parse_body
from frontend.errors import InvalidRequest
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack

USER = [{"role": "user", "content": "hi"}]
ADD = {"name": "add", "input_schema": {"type": "object"}}


def body(**fields: object) -> dict:
    return {"model": MODEL, "messages": USER, "max_tokens": 100, **fields}


FAILURES = [
    (grpc.StatusCode.INTERNAL, "Executor failed: /secret/path", 500, "api_error"),
    (grpc.StatusCode.UNAVAILABLE, "Server is stopping", 503, "overloaded_error"),
    (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", 429, "rate_limit_error"),
    (grpc.StatusCode.DEADLINE_EXCEEDED, "Request timeout expired", 504, "timeout_error"),
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        'in ensemble, {"message": "long", "param": "messages", "code": "context_length_exceeded"}',
        400,
        "invalid_request_error",
    ),
]


@pytest.mark.parametrize(("code", "details", "status", "error_type"), FAILURES)
@pytest.mark.parametrize(
    ("path", "stream"),
    [("/v1/messages", False), ("/v1/messages", True), ("/v1/messages/count_tokens", False)],
)
def test_failure_before_the_first_token(
    http: httpx.Client,
    fake: FakeTriton,
    path: str,
    stream: bool,
    code: grpc.StatusCode,
    details: str,
    status: int,
    error_type: str,
) -> None:
    fake.reset(Script([tokens("ok")], fails_after=0, status=code, details=details))
    answer = http.post(path, json=body(stream=stream))
    assert (answer.status_code, answer.json()["type"]) == (status, "error")
    assert answer.json()["error"]["type"] == error_type
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-api-key": API_KEY}, 200),
        ({"Authorization": f"Bearer {API_KEY}"}, 200),
        ({"Authorization": f"Bearer {API_KEY}", "x-api-key": "wrong"}, 200),
        ({"Authorization": "Bearer wrong", "x-api-key": API_KEY}, 401),
        ({"x-api-key": "wrong"}, 401),
        ({"x-api-key": ""}, 401),
        ({}, 401),
    ],
)
def test_key_in_either_header(stack: Stack, headers: dict[str, str], status: int) -> None:
    stack.fake.reset(Script([tokens("ok")]))
    answer = httpx.post(f"{stack.url}/v1/messages", json=body(), headers=headers, verify=False)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "error_type"),
    [
        ("POST", "/v1/messages", b"{nope", 400, "invalid_request_error"),
        ("POST", "/v1/messages", json.dumps(body(model="other")).encode(), 404, "not_found_error"),
        ("GET", "/v1/messages", b"", 405, "invalid_request_error"),
        ("POST", "/v1/messages/batches", b"{}", 404, "not_found_error"),
        ("POST", "/v1/messages", b" " * (16 * 1024 * 1024 + 1), 413, "request_too_large"),
    ],
)
def test_http_errors_have_the_form_of_the_api(
    http: httpx.Client, method: str, path: str, content: bytes, status: int, error_type: str
) -> None:
    answer = http.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers["request-id"]
    assert answer.json()["error"]["type"] == error_type


def turn(role: str, *blocks: object) -> dict:
    return body(messages=[{"role": role, "content": list(blocks)}])


DEEP: dict = {"type": "object"}
for _ in range(40):
    DEEP = {"type": "object", "properties": {"a": DEEP}}
EMPTY_SCHEMA = {"type": "object", "properties": None, "required": None}
SEARCH = {"type": "web_search_20260318", "name": "web_search", "max_uses": 5}
CLEAR_TOOLS = {"type": "clear_tool_uses_20250919"}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}

BAD_BODIES = [
    ({"messages": USER, "max_tokens": 1}, "model"),
    ({"model": MODEL, "messages": USER}, "max_tokens"),
    ({"model": MODEL, "max_tokens": 1}, "messages"),
    (body(max_tokens=0), "max_tokens"),
    (body(max_tokens=True), "max_tokens"),
    (body(messages=[]), "messages"),
    (body(messages="hi"), "messages"),
    (body(messages=["hi"]), "messages[0]"),
    (body(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
    (body(messages=[{"content": "x"}]), "messages[0].role"),
    (body(messages=[{"role": "user"}]), "messages[0].content"),
    (turn("user", {"type": "image", "source": {}}), "messages[0].content[0].type"),
    (turn("user", {"text": "x"}), "messages[0].content[0].type"),
    (turn("user", {"type": "text"}), "messages[0].content[0].text"),
    (turn("user", CALL), "messages[0].content[0].type"),
    (turn("user"), "messages[0].content"),
    (turn("assistant", {"type": "server_tool_use", "id": "x"}), "messages[0].content[0].type"),
    (turn("assistant", CALL), "messages"),
    (turn("assistant", {**CALL, "input": "{}"}), "messages[0].content[0].input"),
    (turn("user", {"type": "tool_result"}), "messages[0].content[0].tool_use_id"),
    (turn("user", {"type": "tool_result", "tool_use_id": "t"}), "messages[0].content[0].tool_use_id"),
    (
        turn("assistant", {**CALL, "caller": {"type": "code_execution_20250825", "tool_id": "c"}}),
        "messages[0].content[0].caller.type",
    ),
    (
        turn("user", {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}),
        "messages[0].content[0].content[0].type",
    ),
    (body(system=5), "system"),
    (body(system=[{"type": "image"}]), "system[0].type"),
    (body(stop_sequences="x"), "stop_sequences"),
    (body(stop_sequences=[""]), "stop_sequences[0]"),
    (body(stop_sequences=["a"] * 17), "stop_sequences"),
    (body(temperature=1.1), "temperature"),
    (body(top_p=0), "top_p"),
    (body(top_k=-1), "top_k"),
    (body(stream=1), "stream"),
    (body(metadata={"user_id": 5}), "metadata.user_id"),
    (body(tools=[{"type": "bash_20250124", "name": "bash"}]), "tools[0].type"),
    (body(tools=[{"name": "f"}]), "tools[0].input_schema"),
    (body(tools=[{**ADD, "name": "a b"}]), "tools[0].name"),
    (body(tools=[{**ADD, "input_schema": DEEP}]), "tools[0].input_schema"),
    (body(tools=[{**ADD, "name": "a" * 129}]), "tools[0].name"),
    (body(tools=[{**ADD, "input_examples": [{}]}]), "tools[0].input_examples"),
    (body(tools=[SEARCH], tool_choice={"type": "any"}), "tool_choice"),
    (body(tools=[SEARCH], tool_choice={"type": "tool", "name": "web_search"}), "tool_choice"),
    (body(tools=[ADD, ADD]), "tools"),
    (body(tool_choice="auto"), "tool_choice"),
    (body(tool_choice={"type": "function"}), "tool_choice.type"),
    (body(tool_choice={"type": "any"}), "tool_choice"),
    (body(tools=[ADD], tool_choice={"type": "tool", "name": "other"}), "tool_choice"),
    (body(context_management={"edits": [CLEAR_TOOLS]}), "context_management.edits[0].type"),
    (body(compaction={"type": "enabled"}), "compaction"),
    (body(fallbacks=[{"model": MODEL}]), "fallbacks"),
    (body(output_config={"format": {"type": "json_schema", "schema": DEEP}}), "output_config.format"),
    (body(container="c"), "container"),
    (body(mcp_servers=[{}]), "mcp_servers"),
    (body(inference_geo="eu"), "inference_geo"),
]


@pytest.mark.parametrize(("content", "param"), BAD_BODIES)
def test_bad_request_names_the_field(http: httpx.Client, fake: FakeTriton, content: dict, param: str) -> None:
    answer = http.post("/v1/messages", json=content)
    assert answer.status_code == 400
    assert set(answer.json()) == {"type", "error", "request_id"}
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"{param}: ")
    assert fake.requests == []


def called_with(*inputs: dict, num_results: int = 1) -> dict:
    calls = [{**CALL, "input": arguments} for arguments in inputs]
    results = [{"type": "tool_result", "tool_use_id": "t"}] * num_results
    return body(
        messages=[*USER, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    )


TOO_MANY = "must have {0} or fewer elements, not {1}."
# What fits each field, and is too much for the chat request as a whole.
BAD_CHATS = [
    (
        called_with({}, num_results=9_999),
        "messages",
        TOO_MANY.format(10_000, 10_001),
    ),
    (called_with({"a": float("nan")}), "messages", "must be the text of a JSON object."),
    (called_with(DEEP), "messages", "must not be nested deeper than 32 levels."),
    (
        called_with(*[{"a": "x" * 400_000}] * 3),
        "messages",
        "must be of 1,048,576 characters at most, in all calls.",
    ),
    (called_with(*[{"a": [[]] * 9000}] * 4), "messages", "must hold fewer values, in all calls."),
    (body(tools=[ADD, ADD]), "tools", "the name add is used twice."),
    (body(tools=[{**ADD, "name": f"f{i}"} for i in range(129)]), "tools", TOO_MANY.format(128, 129)),
    (body(tool_choice={"type": "any"}), "tool_choice", "needs at least one tool."),
    (
        body(tools=[ADD], tool_choice={"type": "tool", "name": "x"}),
        "tool_choice",
        "there is no tool named x.",
    ),
]


@pytest.mark.parametrize(("content", "param", "message"), BAD_CHATS, ids=range(len(BAD_CHATS)))
def test_what_the_chat_request_refuses_has_the_name_of_the_field_here(
    content: dict, param: str, message: str
) -> None:
    text = json.dumps(content).encode()
    for chat_of in (
        lambda: to_chat(parse_body(text, AnthropicRequest)),
        lambda: to_chat_prompt(parse_body(text, AnthropicPrompt)),
    ):
        with pytest.raises(InvalidRequest) as caught:
            chat_of()
        error = caught.value
        assert (error.message, error.param, error.code) == (f"{param}: {message}", param, "invalid_value")


def test_neutral_values_pass(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("ok")]))
    neutral = {
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "container": None,
        "metadata": {"user_id": None},
        "output_config": {"effort": None, "format": None},
        "service_tier": "standard_only",
        "speed": "standard",
        "stop_sequences": [],
        "thinking": {"type": "disabled"},
        "thread": None,
        "tools": [],
        "unknown_field": 1,
    }
    assert http.post("/v1/messages", json=body(**neutral)).status_code == 200


def test_a_thread_is_refused_so_that_the_sdks_send_the_whole_history(http: httpx.Client) -> None:
    """Their tool runners read it (ThreadUnsupportedRequestErrorDetails of anthropic 2.14)."""
    answer = http.post("/v1/messages", json=body(thread={"type": "create"}))
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {
        "error_code": "thread_unsupported_request",
        "unsupported": ["thread"],
    }


HINTS = {
    # Claude Code's.
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "xhigh", "task_budget": {"type": "tokens", "total": 5}},
    "tools": [
        {**ADD, "name": "a" * 128, "defer_loading": True, "input_schema": EMPTY_SCHEMA},
        SEARCH,
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
    ],
    "service_tier": "priority",
    "speed": "fast",
    "user_profile_id": "u",
    "workspace_id": "w",
    "billing_policy": {"type": "x"},
    "max_tokens": 100.0,
}


@pytest.mark.parametrize("name", HINTS)
def test_hints_are_honoured_by_doing_nothing(
    http: httpx.Client, fake: FakeTriton, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.reset(Script([tokens("ok")]))
    caplog.set_level("INFO")
    assert http.post("/v1/messages", json=body(**{name: HINTS[name]})).status_code == 200
    assert "unknown fields" not in caplog.text


def test_what_another_model_thought_and_found_is_left_out(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("ok")]))
    thoughts = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
    ]
    cited = {"type": "text", "text": "5", "citations": [{"type": "char_location"}]}
    found = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "tool_reference", "tool_name": "f"}],
    }
    history = [
        *USER,
        {"role": "assistant", "content": [*thoughts, cited, CALL]},
        {"role": "user", "content": [found]},
    ]
    assert http.post("/v1/messages", json=body(messages=history)).status_code == 200
    [_, assistant, tool] = json.loads(fake.inputs()["messages"][0])
    assert (assistant["content"], tool["content"]) == ("5", "f")
