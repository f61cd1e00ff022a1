"""The way to a chat request for the APIs that are answered by one."""

from collections.abc import Mapping
from typing import Any

from frontend.api.body import validate_fields
from frontend.api.chat.request import ChatRequest
from frontend.errors import named_for_client


def chat_request(fields: Mapping[str, Any], names: Mapping[str, str]) -> ChatRequest:
    """The chat request of these fields, None for those left out; `names` as for named_for_client."""
    given = {field: value for field, value in fields.items() if value is not None}
    with named_for_client(names):
        return validate_fields(given, ChatRequest)
