"""The way to a chat request for the APIs that are answered by one."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from frontend.api.body import validate_fields
from frontend.api.chat.request import ChatRequest
from frontend.errors import InvalidRequest


def chat_request(fields: Mapping[str, Any], names: Mapping[str, str]) -> ChatRequest:
    """The chat request of these fields, None for those left out; `names` as for named_for_client."""
    with named_for_client(names):
        return validate_fields(
            {field: value for field, value in fields.items() if value is not None}, ChatRequest
        )


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
