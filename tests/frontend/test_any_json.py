"""Whatever JSON comes, the answer is a result or an error in the API's form, never a 5xx."""

import json

import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontend.anthropic_request import AnthropicPrompt, AnthropicRequest
from frontend.requests import ChatRequest, CompletionRequest
from frontend.responses_request import ResponsesRequest
from frontend.tokenize_request import DetokenizeRequest, TokenizeChat
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
ENDPOINTS = {
    "/v1/chat/completions": (ChatRequest, CHAT),
    "/v1/completions": (CompletionRequest, {"model": MODEL, "prompt": "hi"}),
    "/v1/responses": (ResponsesRequest, {"model": MODEL, "input": "hi"}),
    "/v1/messages": (AnthropicRequest, {**CHAT, "max_tokens": 9}),
    "/v1/messages/count_tokens": (AnthropicPrompt, CHAT),
    "/tokenize": (TokenizeChat, CHAT),
    "/detokenize": (DetokenizeRequest, {"model": MODEL, "tokens": [1]}),
}
FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def post(stack: Stack, path: str, body: bytes) -> httpx.Response:
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    return httpx.post(stack.url + path, content=body, headers=headers)


def check(path: str, answer: httpx.Response) -> None:
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        is_anthropic = path.startswith("/v1/messages")
        keys = {"message", "type"} if is_anthropic else {"message", "type", "param", "code"}
        assert set(answer.json()["error"]) == keys


@pytest.mark.parametrize("path", ENDPOINTS)
@FUZZ
@given(data=st.data())
def test_any_value_in_any_field(stack: Stack, path: str, data: st.DataObject) -> None:
    stack.fake.reset(Script([tokens("ok")]))
    model, valid = ENDPOINTS[path]
    fields = data.draw(st.dictionaries(st.sampled_from(sorted(model.model_fields)), JSON, max_size=3))
    check(path, post(stack, path, json.dumps({**valid, **fields}).encode()))


@pytest.mark.parametrize("path", ENDPOINTS)
@FUZZ
@given(body=JSON | st.binary(max_size=64))
def test_any_body(stack: Stack, path: str, body: object) -> None:
    check(path, post(stack, path, body if isinstance(body, bytes) else json.dumps(body).encode()))
