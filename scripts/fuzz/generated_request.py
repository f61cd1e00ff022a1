"""Requests by generators: out of the OpenAPI description, any value in any field, any body."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import schemathesis
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel

from frontend.api.anthropic.request import AnthropicPrompt, AnthropicRequest
from frontend.api.chat.request import ChatRequest
from frontend.api.completions.request import CompletionRequest
from frontend.api.responses.request import ResponsesRequest
from frontend.api.tokenize import DetokenizeRequest, TokenizeChat


@dataclass(frozen=True)
class GeneratedRequest:
    method: str
    path: str
    body: bytes | None


Requests: TypeAlias = "SearchStrategy[GeneratedRequest]"

JSON: "SearchStrategy[Any]" = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_CHAT = {"messages": [{"role": "user", "content": "hi"}]}
# Path -> what its body is validated by, and a valid one but for the model's name.
ENDPOINTS: Mapping[str, tuple[type[BaseModel], Mapping[str, Any]]] = {
    "/v1/chat/completions": (ChatRequest, _CHAT),
    "/v1/completions": (CompletionRequest, {"prompt": "hi"}),
    "/v1/responses": (ResponsesRequest, {"input": "hi"}),
    "/v1/messages": (AnthropicRequest, {**_CHAT, "max_tokens": 9}),
    "/v1/messages/count_tokens": (AnthropicPrompt, _CHAT),
    "/tokenize": (TokenizeChat, _CHAT),
    "/detokenize": (DetokenizeRequest, {"tokens": [1]}),
}


def described_requests(description: Mapping[str, Any], model: str) -> dict[str, Requests]:
    """Operation -> requests that its part of the OpenAPI description allows, for the model that is served."""
    found: Iterator[Any] = schemathesis.openapi.from_dict(dict(description)).get_all_operations()
    operations = [result.ok() for result in found]
    return {operation.label: operation.as_strategy().map(_Sent(model)) for operation in operations}


def any_value(path: str, model: str) -> Requests:
    """A valid body with any JSON in up to three of its fields."""
    validated_by, valid = ENDPOINTS[path]
    changes = st.dictionaries(st.sampled_from(sorted(validated_by.model_fields)), JSON, max_size=3)
    return changes.map(
        lambda changed: GeneratedRequest("POST", path, _encoded({"model": model, **valid, **changed}))
    )


def any_body(path: str) -> Requests:
    """Any JSON, or bytes that are none."""
    return (JSON.map(_encoded) | st.binary(max_size=64)).map(
        lambda body: GeneratedRequest("POST", path, body)
    )


class _Sent:
    """Turns a case of schemathesis into the request that is sent."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __call__(self, case: Any) -> GeneratedRequest:
        if case.method != "POST":
            return GeneratedRequest(case.method, case.formatted_path, None)
        body = {**case.body, "model": self._model} if isinstance(case.body, dict) else case.body
        return GeneratedRequest(case.method, case.formatted_path, _encoded(body))


def _encoded(body: object) -> bytes:
    return json.dumps(body).encode()
