"""/v1/messages: Anthropic's Messages API."""

from fastapi import APIRouter, Request, Response

from frontend.admission import Admission
from frontend.anthropic_request import FIELD_NAMES, AnthropicPrompt, AnthropicRequest, to_chat, to_chat_prompt
from frontend.anthropic_response import AnthropicResponse
from frontend.chat_answer import ChatAnswers
from frontend.chat_prompt import chat_prompt
from frontend.chat_translation import named_for_client
from frontend.errors import ANTHROPIC_PATH
from frontend.json_route import add_json_route
from frontend.request_body import read_body
from frontend.triton import Triton


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
