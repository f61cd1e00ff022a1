"""Errors say what is allowed and what was sent, in the words of JSON."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from frontend.api.anthropic.request import AnthropicRequest
from frontend.api.body import parse_body
from frontend.api.chat.request import ChatRequest
from frontend.api.completions.request import CompletionRequest
from frontend.api.responses.request import ResponsesRequest
from frontend.errors import InvalidRequest

USER = {"role": "user", "content": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "x"}}
BODIES: dict[type[BaseModel], dict[str, Any]] = {
    ChatRequest: {"model": "m", "messages": [USER]},
    CompletionRequest: {"model": "m", "prompt": "x"},
    ResponsesRequest: {"model": "m", "input": "x"},
    AnthropicRequest: {"model": "m", "messages": [USER], "max_tokens": 1},
}
COMPLAINTS: list[tuple[type[BaseModel], dict[str, Any], str]] = [
    (ChatRequest, {"max_tokens": 0}, "max_tokens: must be 1 or more, not 0."),
    (ChatRequest, {"max_tokens": 1.5}, "max_tokens: must be an integer, not 1.5."),
    (ChatRequest, {"max_tokens": "16"}, 'max_tokens: must be an integer, not "16".'),
    (ChatRequest, {"max_tokens": None, "n": True}, "n: must be an integer, not true."),
    (ChatRequest, {"temperature": 3}, "temperature: must be 2 or less, not 3."),
    (ChatRequest, {"stop": 5}, "stop: must be a string or a list, not 5."),
    (ChatRequest, {"stream": "yes"}, 'stream: must be true or false, not "yes".'),
    (ChatRequest, {"stop": "a" * 257}, "stop: must have 256 or fewer characters, not 257."),
    (ChatRequest, {"messages": {}}, "messages: must be a list, not an object."),
    (ChatRequest, {"messages": [5]}, "messages[0]: must be an object, not 5."),
    (
        ChatRequest,
        {"messages": [{"role": "critic", "content": "x"}]},
        "messages[0].role: must be 'system', 'developer', 'user', 'assistant' or 'tool', not \"critic\".",
    ),
    (
        ChatRequest,
        {"messages": [{"role": "user", "content": [IMAGE]}]},
        'messages[0].content[0].type: must be text or refusal, not "image_url": this model takes text only.',
    ),
    (
        ChatRequest,
        {"response_format": {"type": "xml"}},
        'response_format.type: must be text or json_object or json_schema, not "xml".',
    ),
    (
        ChatRequest,
        {"store": True},
        "store: this server keeps nothing between requests; send the whole history with each.",
    ),
    (
        CompletionRequest,
        {"prompt": None},
        "prompt: must be a string, a list of strings, token ids or a list of lists of them, not null.",
    ),
    (ResponsesRequest, {"input": []}, "input: must have 1 or more elements, not 0."),
    (ResponsesRequest, {"input": None}, "input: must be a string or a list, not null."),
    (
        AnthropicRequest,
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
        'messages[0].content[0].type: must be text or tool_result, not "image": this model takes text only.',
    ),
]


@pytest.mark.parametrize(("model", "fields", "message"), COMPLAINTS)
def test_a_complaint_is_for_people(model: type[BaseModel], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_body(json.dumps(BODIES[model] | fields).encode(), model)
    assert caught.value.message == message


@pytest.mark.parametrize("name", ["max_tokens", "top_k", "seed", "n", "min_tokens", "max_completion_tokens"])
def test_a_float_without_a_fraction_is_an_integer(name: str) -> None:
    body = json.dumps({**BODIES[ChatRequest], name: 16.0}).encode()
    value = getattr(parse_body(body, ChatRequest), name)
    assert (value, type(value)) == (16, int)


@pytest.mark.parametrize("model", [ChatRequest, CompletionRequest])
def test_null_is_the_default_of_every_optional_field(model: type[BaseModel]) -> None:
    optional = [name for name, field in model.model_fields.items() if not field.is_required()]
    parsed = parse_body(json.dumps(BODIES[model] | dict.fromkeys(optional)).encode(), model)
    others = {name for name in optional if getattr(parsed, name) != model.model_fields[name].default}
    # Null has a meaning of its own there: the rest of the window.
    assert others <= {"max_tokens"}
