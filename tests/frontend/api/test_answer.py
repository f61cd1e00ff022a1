"""An answer in another API's words is the same however the engine cuts it into deltas."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.api.answer import Reply
from frontend.api.anthropic import request as anthropic_request
from frontend.api.anthropic.request import AnthropicRequest
from frontend.api.anthropic.response import AnthropicResponse
from frontend.api.responses import request as responses_request
from frontend.api.responses.request import ResponsesRequest
from frontend.api.responses.response import ResponsesResponse
from frontend.generation.delta import Delta

PIECES = [
    "Hello ",
    "{",
    '"}; ',
    '{"name": "add", "parameters": {"a": "b"}}',
    '{"name": "add", "parameters": {}}',
    '{"name": "other", "parameters": {}}',
    "<|python_tag|>",
]
texts = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
cuts = st.lists(st.integers(0, 200), max_size=8)
SCHEMA = {"type": "object"}


def deltas(text: str, at: list[int]) -> list[Delta]:
    edges = [0, *sorted(min(edge, len(text)) for edge in at), len(text)]
    ends = range(1, len(edges))
    return [
        Delta(0, text[edges[i - 1] : edges[i]], (), 5, i, "stop" if i == ends[-1] else None) for i in ends
    ]


def events(reply: Reply, text: str, at: list[int]) -> list[dict[str, Any]]:
    data = b"".join(reply.events(delta) for delta in deltas(text, at))
    return [json.loads(line) for line in re.findall(rb"^data: (.*)$", data, re.MULTILINE)]


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in item.items() if key not in ("id", "call_id")} for item in items]


@given(texts, cuts)
def test_responses(text: str, at: list[int]) -> None:
    tool = {"type": "function", "name": "add", "parameters": SCHEMA}
    request = ResponsesRequest.model_validate({"model": "m", "input": "hi", "tools": [tool]})
    chat = responses_request.to_chat(request)
    whole, streamed = ResponsesResponse(request, chat), ResponsesResponse(request, chat)
    for delta in deltas(text, []):
        whole.add(delta)
    sent = events(streamed, text, at)
    assert without_ids(streamed.whole()["output"]) == without_ids(whole.whole()["output"])
    done = [event["item"] for event in sent if event["type"] == "response.output_item.done"]
    assert done == streamed.whole()["output"]
    for index, item in enumerate(done):
        pieces = [event["delta"] for event in sent if "delta" in event and event["output_index"] == index]
        assert "".join(pieces) == (item["arguments"] if "arguments" in item else item["content"][0]["text"])


@given(texts, cuts)
def test_anthropic(text: str, at: list[int]) -> None:
    turns = [{"role": "user", "content": "hi"}]
    request = AnthropicRequest.model_validate(
        {"model": "m", "max_tokens": 9, "messages": turns, "tools": [{"name": "add", "input_schema": SCHEMA}]}
    )
    chat = anthropic_request.to_chat(request)
    whole, streamed = AnthropicResponse(request, chat), AnthropicResponse(request, chat)
    for delta in deltas(text, []):
        whole.add(delta)
    sent = events(streamed, text, at)
    assert without_ids(streamed.whole()["content"]) == without_ids(whole.whole()["content"])
    for index, block in enumerate(streamed.whole()["content"]):
        names = [event["type"] for event in sent if event.get("index") == index]
        assert (names[0], names[-1]) == ("content_block_start", "content_block_stop")
        pieces = [event["delta"] for event in sent if "delta" in event and event.get("index") == index]
        if block["type"] == "text":
            assert "".join(piece["text"] for piece in pieces) == block["text"]


@pytest.mark.parametrize(("text", "called"), [('{ "name": "ad', False), ('{ "name": "add", "par', True)])
def test_a_forced_call_that_is_cut_says_nothing(text: str, called: bool) -> None:
    tools = [{"name": name, "input_schema": SCHEMA} for name in ("add", "sub")]
    turns = [{"role": "user", "content": "hi"}]
    message = AnthropicRequest.model_validate(
        {"model": "m", "max_tokens": 1, "messages": turns, "tools": tools, "tool_choice": {"type": "any"}}
    )
    functions = [{"type": "function", "name": name, "parameters": SCHEMA} for name in ("add", "sub")]
    response = ResponsesRequest.model_validate(
        {"model": "m", "input": "hi", "tools": functions, "tool_choice": "required"}
    )
    replies: list[Reply] = [
        AnthropicResponse(message, anthropic_request.to_chat(message)),
        ResponsesResponse(response, responses_request.to_chat(response)),
    ]
    cut = Delta(0, text, (), 5, 1, "length")
    for reply in replies:
        reply.add(cut)
    block, item = replies[0].whole(), replies[1].whole()
    assert [(part["name"], part["input"]) for part in block["content"]] == ([("add", {})] if called else [])
    assert block["stop_reason"] == "max_tokens"
    assert item["status"] == "incomplete"
    [only] = item["output"]
    if called:
        assert (only["name"], only["arguments"], only["status"]) == ("add", "", "incomplete")
    else:
        assert only["content"][0]["text"] == ""
