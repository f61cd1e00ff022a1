"""/v1/responses: OpenAI's Responses API, of which nothing is kept after the answer."""

from typing import Any

from fastapi import APIRouter, Request, Response

from frontend.api.admission import Admission
from frontend.api.answer import Answers
from frontend.api.body import read_body
from frontend.api.chat.translation import num_prompt_tokens
from frontend.api.openapi import add_json_route
from frontend.api.responses.request import (
    FIELD_NAMES,
    ResponsesPrompt,
    ResponsesRequest,
    to_chat,
    to_chat_prompt,
)
from frontend.api.responses.response import ResponsesResponse
from frontend.triton.triton import Triton


def responses_routes(triton: Triton, admission: Admission, answers: Answers) -> APIRouter:
    async def create_response(request: Request) -> Response:
        body = await read_body(request, ResponsesRequest)
        chat = to_chat(body)
        return await answers.chat(request, chat, ResponsesResponse(body, chat), FIELD_NAMES)

    async def count_input_tokens(request: Request) -> dict[str, Any]:
        chat = to_chat_prompt(await read_body(request, ResponsesPrompt))
        num_tokens = await num_prompt_tokens(triton, admission, request, chat, FIELD_NAMES)
        return {"object": "response.input_tokens", "input_tokens": num_tokens}

    router = APIRouter(prefix="/v1")
    add_json_route(router, "POST", "/responses", create_response, ResponsesRequest)
    add_json_route(router, "POST", "/responses/input_tokens", count_input_tokens, ResponsesPrompt)
    return router
