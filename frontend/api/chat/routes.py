"""/v1/chat/completions: OpenAI's chats, in the form of the Lambda Chat API."""

from fastapi import APIRouter, Request, Response

from frontend.api.answer import Answers
from frontend.api.body import read_body
from frontend.api.chat.request import ChatRequest
from frontend.api.chat.response import ChatResponse
from frontend.api.openapi import add_json_route


def chat_routes(answers: Answers) -> APIRouter:
    async def create_chat_completion(request: Request) -> Response:
        chat = await read_body(request, ChatRequest)
        return await answers.chat(request, chat, ChatResponse(chat))

    router = APIRouter(prefix="/v1")
    add_json_route(router, "POST", "/chat/completions", create_chat_completion, ChatRequest)
    return router
