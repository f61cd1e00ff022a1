"""/v1/responses: OpenAI's Responses API, of which nothing is kept after the answer."""

from fastapi import APIRouter, Request, Response

from frontend.api.admission import Admission
from frontend.api.answer import ChatAnswers
from frontend.api.body import read_body
from frontend.api.openapi import add_json_route
from frontend.api.responses.request import FIELD_NAMES, ResponsesRequest, to_chat
from frontend.api.responses.response import ResponsesResponse
from frontend.triton.triton import Triton


class ResponsesRoutes:
    def __init__(self, triton: Triton, admission: Admission) -> None:
        self._answers = ChatAnswers(triton, admission, FIELD_NAMES)
        self.router = APIRouter(prefix="/v1")
        add_json_route(self.router, "POST", "/responses", self.create_response, ResponsesRequest)

    async def create_response(self, request: Request) -> Response:
        body = await read_body(request, ResponsesRequest)
        return await self._answers.respond(request, to_chat(body), ResponsesResponse(body))
