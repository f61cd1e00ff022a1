"""/v1/messages: Anthropic's Messages API."""

from fastapi import APIRouter, Request, Response

from frontend.api.admission import Admission
from frontend.api.answer import ChatAnswers
from frontend.api.anthropic.request import (
    FIELD_NAMES,
    AnthropicPrompt,
    AnthropicRequest,
    to_chat,
    to_chat_prompt,
)
from frontend.api.anthropic.response import AnthropicResponse
from frontend.api.body import read_body
from frontend.api.chat.prompt import chat_prompt
from frontend.api.chat.translation import named_for_client
from frontend.api.openapi import add_json_route
from frontend.errors import ANTHROPIC_PATH
from frontend.triton.triton import Triton


class AnthropicRoutes:
    def __init__(self, triton: Triton, admission: Admission) -> None:
        self._triton = triton
        self._admission = admission
        self._answers = ChatAnswers(triton, admission, FIELD_NAMES)
        self.router = APIRouter(prefix=ANTHROPIC_PATH)
        add_json_route(self.router, "POST", "", self.create_message, AnthropicRequest)
        add_json_route(self.router, "POST", "/count_tokens", self.count_tokens, AnthropicPrompt)

    async def create_message(self, request: Request) -> Response:
        body = await read_body(request, AnthropicRequest)
        return await self._answers.respond(request, to_chat(body), AnthropicResponse(body))

    async def count_tokens(self, request: Request) -> dict[str, int]:
        chat = to_chat_prompt(await read_body(request, AnthropicPrompt))
        with named_for_client(FIELD_NAMES):
            model = await self._admission.served_model(chat)
            self._admission.charge(request)
            ids = await self._triton.preprocess(model, chat_prompt(chat))
        return {"input_tokens": len(ids)}
