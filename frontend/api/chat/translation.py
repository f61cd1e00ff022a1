"""The words of a chat request, for the APIs that are answered by translating to one."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json

from frontend.api.body import parse_body
from frontend.api.requests import ChatRequest
from frontend.errors import named_for_client

Words = dict[str, Any]


def chat_request(fields: Words, names: Mapping[str, str]) -> ChatRequest:
    """The chat request of these fields, None for those left out; `names` as for named_for_client."""
    body = to_json({field: value for field, value in fields.items() if value is not None})
    with named_for_client(names):
        return parse_body(body, ChatRequest)


def chat_content(texts: Sequence[str]) -> str | list[Words]:
    """The content of a message with these parts."""
    if len(texts) < 2:
        return "".join(texts)
    return [{"type": "text", "text": text} for text in texts]


def function_call(call_id: str, name: str, arguments: str) -> Words:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def function_choice(name: str) -> Words:
    return {"type": "function", "function": {"name": name}}


def function_tool(
    name: str, description: str | None, parameters: Mapping[str, Any] | None, strict: bool | None
) -> Words:
    function = {"name": name, "description": description, "parameters": parameters, "strict": strict}
    return {
        "type": "function",
        "function": {key: value for key, value in function.items() if value is not None},
    }
