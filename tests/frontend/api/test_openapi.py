"""Requests and answers against the OpenAPI descriptions of OpenAI and Anthropic."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import httpx2 as httpx
import pytest
from pydantic import BaseModel

from frontend.api.anthropic.request import AnthropicRequest
from frontend.api.chat.request import ChatRequest
from frontend.api.completions.request import CompletionRequest
from frontend.api.responses.request import ResponsesRequest
from frontend.api.sampling import StreamOptions
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.api.unknown_fields import unknown_fields
from tests.frontend.api.vendor_schemas import OPEN_RESPONSES, errors, event_schemas
from tests.frontend.conftest import MODEL

REQUESTS: Mapping[tuple[str, str], type[BaseModel]] = {
    ("openai", "CreateChatCompletionRequest"): ChatRequest,
    ("openai", "ChatCompletionStreamOptions"): StreamOptions,
    ("openai", "CreateCompletionRequest"): CompletionRequest,
    ("openai", "CreateResponse"): ResponsesRequest,
    ("anthropic", "CreateMessageParams"): AnthropicRequest,
}
# Schema and place -> why the answers differ there; docs/api.md has them too.
DEVIATIONS = {
    ("CreateCompletionResponse", "choices/*/finish_reason"): "null until the last chunk",
    ("CreateCompletionResponse", "choices/*/logprobs/token_logprobs/*"): "null for a prompt's first token",
    ("CreateCompletionResponse", "choices/*/logprobs/top_logprobs/*"): "null for a prompt's first token",
}

HELLO = Script([tokens("Hel"), tokens("lo", " w"), tokens("orld")], num_prompt_tokens=40, num_reused_blocks=1)
CALL = Script([tokens('{"name": "add", '), tokens('"parameters": {"a": 1}}')])
USER = [{"role": "user", "content": "hi"}]
PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}}
CHAT_TOOL = {"type": "function", "function": {"name": "add", "parameters": PARAMETERS, "strict": True}}
RESPONSES_TOOL = {"type": "function", "name": "add", "parameters": PARAMETERS, "strict": True}
NAMED_TOOL = {"type": "function", "name": "add"}
ANTHROPIC_TOOL = {"name": "add", "input_schema": PARAMETERS}
USAGE = {"include_usage": True}

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
# Path, body, what the model answers.
ASKED: list[tuple[str, dict[str, Any], Script]] = [
    (CHAT, {"messages": USER}, HELLO),
    (CHAT, {"messages": USER, "n": 2, "logprobs": True, "top_logprobs": 3}, HELLO),
    (CHAT, {"messages": USER, "stop": "lo", "max_tokens": 2}, HELLO),
    (CHAT, {"messages": USER, "tools": [CHAT_TOOL]}, CALL),
    (COMPLETIONS, {"prompt": "x"}, HELLO),
    (COMPLETIONS, {"prompt": ["x", "y"], "echo": True, "logprobs": 2}, HELLO),
    (RESPONSES, {"input": "x"}, HELLO),
    (RESPONSES, {"input": "x", "user": "me", "instructions": "Be kind.", "metadata": {"a": "b"}}, HELLO),
    (RESPONSES, {"input": "x", "tools": [RESPONSES_TOOL]}, CALL),
    (MESSAGES, {"messages": USER, "max_tokens": 9}, HELLO),
    (MESSAGES, {"messages": USER, "max_tokens": 9, "stop_sequences": ["lo"]}, HELLO),
    (MESSAGES, {"messages": USER, "max_tokens": 9, "tools": [ANTHROPIC_TOOL]}, CALL),
]
# Those whose answers are held to Open Responses too.
OPEN_ASKED: list[tuple[dict[str, Any], Script]] = [
    *((body, script) for path, body, script in ASKED if path == RESPONSES),
    ({"input": "x", "max_output_tokens": 2}, HELLO),
    ({"input": "x", "top_logprobs": 2}, HELLO),
    ({"input": "x", "text": {"format": {"type": "json_object"}}, "tool_choice": "none"}, HELLO),
    ({"input": "x", "prompt_cache_key": "a", "safety_identifier": "b", "max_tool_calls": 3}, HELLO),
    (
        {
            "input": "x",
            "tools": [RESPONSES_TOOL],
            "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [NAMED_TOOL]},
        },
        CALL,
    ),
    ({"input": "x", "tools": [RESPONSES_TOOL], "tool_choice": NAMED_TOOL}, CALL),
]
# Path -> vendor, schema of the whole answer, schema of a part of a stream.
ANSWERS = {
    CHAT: ("openai", "CreateChatCompletionResponse", "CreateChatCompletionStreamResponse"),
    COMPLETIONS: ("openai", "CreateCompletionResponse", "CreateCompletionResponse"),
    RESPONSES: ("openai", "Response", "ResponseStreamEvent"),
    MESSAGES: ("anthropic", "Message", "MessageStreamEvent"),
}


def unexpected(vendor: str, schema: str, answer: object) -> list[tuple[str, str]]:
    return [error for error in errors(vendor, schema, answer) if (schema, error[0]) not in DEVIATIONS]


def parts(answer: httpx.Response) -> Iterator[Any]:
    for line in answer.text.splitlines():
        if line.startswith("data: ") and line != "data: [DONE]":
            yield json.loads(line.removeprefix("data: "))


@pytest.mark.parametrize(("vendor", "name"), REQUESTS)
def test_every_property_of_a_request_is_known(vendor: str, name: str) -> None:
    """Honoured or refused by name, and so are those within them: docs/api.md tells which of the first."""
    assert unknown_fields(vendor, name, REQUESTS[vendor, name]) == set()


def test_a_property_that_is_not_known_is_found_however_deep() -> None:
    class Part(BaseModel):
        type: Literal["text"]

    class Message(BaseModel):
        role: Literal["user"]
        content: str | list[Part]

    class Request(BaseModel):
        messages: list[Message]

    unknown = unknown_fields("openai", "CreateChatCompletionRequest", Request)
    assert {"model", "messages.name", "messages.content.text"} <= unknown
    # Of other messages than those of users nothing is known, but they are refused.
    assert "messages.tool_calls" not in unknown


@pytest.mark.parametrize(("path", "body", "script"), ASKED)
def test_whole_answers(
    http: httpx.Client, fake: FakeTriton, path: str, body: dict[str, Any], script: Script
) -> None:
    fake.reset(script)
    answer = http.post(path, json={"model": MODEL, **body})
    assert answer.status_code == 200
    vendor, schema, _ = ANSWERS[path]
    assert unexpected(vendor, schema, answer.json()) == []


@pytest.mark.parametrize("options", [{}, {"stream_options": USAGE}])
@pytest.mark.parametrize(("path", "body", "script"), ASKED)
def test_streams(
    http: httpx.Client,
    fake: FakeTriton,
    path: str,
    body: dict[str, Any],
    script: Script,
    options: dict[str, Any],
) -> None:
    fake.reset(script)
    if path in (RESPONSES, MESSAGES):
        options = {}
    answer = http.post(path, json={"model": MODEL, **body, "stream": True, **options})
    vendor, _, schema = ANSWERS[path]
    received = list(parts(answer))
    assert len(received) > 1
    assert [error for part in received for error in unexpected(vendor, schema, part)] == []


@pytest.mark.parametrize(
    ("method", "path", "vendor", "schema"),
    [
        ("GET", "/v1/models", "openai", "ListModelsResponse"),
        ("GET", f"/v1/models/{MODEL}", "openai", "Model"),
        ("GET", "/v1/models/other", "openai", "ErrorResponse"),
        ("POST", CHAT, "openai", "ErrorResponse"),
        ("POST", MESSAGES, "anthropic", "ErrorResponse"),
    ],
)
def test_other_answers(http: httpx.Client, method: str, path: str, vendor: str, schema: str) -> None:
    answer = http.request(method, path, json=None if method == "GET" else {})
    assert unexpected(vendor, schema, answer.json()) == []


def test_deviations_are_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    for (_, place), reason in DEVIATIONS.items():
        assert f"`{place}` | {reason}" in page


def test_the_check_finds_what_is_wrong() -> None:
    assert errors("openai", "Model", {"id": "m", "object": "model", "created": "now", "owned_by": "me"}) == [
        ("created", '"now" is not of type "integer"')
    ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "script"), OPEN_ASKED)
def test_responses_are_open_responses(
    http: httpx.Client, fake: FakeTriton, body: dict[str, Any], script: Script, stream: bool
) -> None:
    fake.reset(script)
    answer = http.post(RESPONSES, json={"model": MODEL, **body, "stream": stream})
    if not stream:
        assert errors(OPEN_RESPONSES, "ResponseResource", answer.json()) == []
        return
    schemas = event_schemas(OPEN_RESPONSES)
    received = list(parts(answer))
    assert [event["sequence_number"] for event in received] == list(range(len(received)))
    assert [
        error for event in received for error in errors(OPEN_RESPONSES, schemas[event["type"]], event)
    ] == []


def test_a_failed_stream_is_an_open_response(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("a"), tokens("b")], fails_after=1))
    *_, last = parts(http.post(RESPONSES, json={"model": MODEL, "input": "x", "stream": True}))
    assert errors(OPEN_RESPONSES, event_schemas(OPEN_RESPONSES)["response.failed"], last) == []


def test_what_open_responses_lets_clients_send_is_known() -> None:
    assert unknown_fields(OPEN_RESPONSES, "CreateResponseBody", ResponsesRequest) == set()


def test_input_tokens_are_counted(http: httpx.Client) -> None:
    """The form of openai.responses.input_tokens.count."""
    answer = http.post(f"{RESPONSES}/input_tokens", json={"model": MODEL, "input": "x"})
    assert answer.json() == {"object": "response.input_tokens", "input_tokens": 5}
