"""The words of a chat request, for the APIs that are answered by translating to one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic_core import to_json

from frontend.api.body import parse_body
from frontend.api.chat.request import ChatRequest
from frontend.errors import InvalidRequest

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


@contextmanager
def named_for_client(names: Mapping[str, str]) -> Iterator[None]:
    """Errors about a field of the chat request name the client's field: `names` is chat field -> client's."""
    try:
        yield
    except InvalidRequest as error:
        raise _renamed(error, names) from error


def _renamed(error: InvalidRequest, names: Mapping[str, str]) -> InvalidRequest:
    param = error.param or ""
    name = names.get(re.split(r"[.\[]", param, maxsplit=1)[0])
    if name is None:
        return error
    message = name + error.message.removeprefix(param) if error.message.startswith(param) else error.message
    return InvalidRequest(message, name, error.code)
