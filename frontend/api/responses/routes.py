"""/v1/responses: OpenAI's Responses API, of which nothing is kept after the answer."""

from fastapi import APIRouter, Request, Response

from frontend.api.answer import Answers
from frontend.api.body import read_body
from frontend.api.openapi import add_json_route
from frontend.api.responses.request import FIELD_NAMES, ResponsesRequest, to_chat
from frontend.api.responses.response import ResponsesResponse


def responses_routes(answers: Answers) -> APIRouter:
    async def create_response(request: Request) -> Response:
        body = await read_body(request, ResponsesRequest)
        chat = to_chat(body)
        return await answers.chat(request, chat, ResponsesResponse(body, chat), FIELD_NAMES)

    router = APIRouter(prefix="/v1")
    add_json_route(router, "POST", "/responses", create_response, ResponsesRequest)
    return router
