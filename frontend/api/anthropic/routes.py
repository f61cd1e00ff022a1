"""/v1/messages: Anthropic's Messages API."""

from fastapi import APIRouter, Request, Response

from frontend.api.admission import Admission
from frontend.api.answer import Answers
from frontend.api.anthropic.request import (
    FIELD_NAMES,
    AnthropicPrompt,
    AnthropicRequest,
    to_chat,
    to_chat_prompt,
)
from frontend.api.anthropic.response import AnthropicResponse
from frontend.api.body import read_body
from frontend.api.chat.translation import num_prompt_tokens
from frontend.api.openapi import add_json_route
from frontend.errors import ANTHROPIC_PATH
from frontend.triton.triton import Triton


def anthropic_routes(triton: Triton, admission: Admission, answers: Answers) -> APIRouter:
    async def create_message(request: Request) -> Response:
        body = await read_body(request, AnthropicRequest)
        chat = to_chat(body)
        reply = AnthropicResponse(body, chat)
        return await answers.chat(request, chat, reply, FIELD_NAMES, fills_window=True)

    async def count_tokens(request: Request) -> dict[str, int]:
        chat = to_chat_prompt(await read_body(request, AnthropicPrompt))
        return {"input_tokens": await num_prompt_tokens(triton, admission, request, chat, FIELD_NAMES)}

    router = APIRouter(prefix=ANTHROPIC_PATH)
    add_json_route(router, "POST", "", create_message, AnthropicRequest)
    add_json_route(router, "POST", "/count_tokens", count_tokens, AnthropicPrompt)
    return router
