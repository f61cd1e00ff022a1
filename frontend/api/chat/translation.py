"""The way to a chat request for the APIs that are answered by one."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from frontend.api.admission import Admission
from frontend.api.body import validate_fields
from frontend.api.chat.prompt import chat_prompt
from frontend.api.chat.request import ChatRequest
from frontend.errors import named_for_client
from frontend.triton.triton import Triton


def chat_request(fields: Mapping[str, Any], names: Mapping[str, str]) -> ChatRequest:
    """The chat request of these fields, None for those left out; `names` as for named_for_client."""
    given = {field: value for field, value in fields.items() if value is not None}
    with named_for_client(names):
        return validate_fields(given, ChatRequest)


async def num_prompt_tokens(
    triton: Triton, admission: Admission, request: Request, chat: ChatRequest, names: Mapping[str, str]
) -> int:
    """For the endpoints that count; the request is charged to its key."""
    with named_for_client(names):
        model = await admission.served_model(chat)
        admission.charge(request)
        return len(await triton.preprocess(model, chat_prompt(chat)))
