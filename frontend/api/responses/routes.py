"""/v1/responses: OpenAI's Responses API, of which nothing is kept after the answer."""

from fastapi import APIRouter, Request, Response

from frontend.api.answer import Answers
from frontend.api.body import read_body
from frontend.api.json_route import add_json_route
from frontend.api.responses.request import FIELD_NAMES, ResponsesRequest, to_chat
from frontend.api.responses.response import ResponsesResponse


class ResponsesRoutes:
    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.router = APIRouter(prefix="/v1")
        add_json_route(self.router, "POST", "/responses", self.create_response, ResponsesRequest)

    async def create_response(self, request: Request) -> Response:
        body = await read_body(request, ResponsesRequest)
        chat = to_chat(body)
        return await self._answers.chat(request, chat, ResponsesResponse(body, chat), FIELD_NAMES)
