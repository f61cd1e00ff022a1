"""The endpoints: each reads a request, runs its generations and answers whole or as a stream."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from frontend.api.admission import Admission
from frontend.api.body import read_body
from frontend.api.chat.response import ChatResponse
from frontend.api.completions.echo import echoed_prompts
from frontend.api.completions.response import CompletionResponse
from frontend.api.disconnect import until_disconnect
from frontend.api.event_stream import EventStream
from frontend.api.frames import DONE_FRAME, data_frame
from frontend.api.generation_request import GenerationRequest, from_chat, from_completion
from frontend.api.json_route import add_json_route
from frontend.api.model_card import model_card, model_list
from frontend.api.requests import ChatRequest, CompletionRequest, GenerationParameters
from frontend.errors import EngineUnavailable, model_not_found
from frontend.generation.choices import run_choices
from frontend.generation.generation import Delta
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton


class OpenAiRoutes:
    """/v1: chat completions, completions, models."""

    def __init__(self, triton: Triton, admission: Admission) -> None:
        self._triton = triton
        self._admission = admission
        self.router = APIRouter(prefix="/v1")
        add_json_route(self.router, "POST", "/chat/completions", self.create_chat_completion, ChatRequest)
        add_json_route(self.router, "POST", "/completions", self.create_completion, CompletionRequest)
        add_json_route(self.router, "GET", "/models", self.list_models)
        # Model names hold slashes, as on Hugging Face.
        add_json_route(self.router, "GET", "/models/{model:path}", self.retrieve_model)

    async def create_chat_completion(self, request: Request) -> Response:
        chat = await read_body(request, ChatRequest)
        model = await self._admission.served_model(chat)
        return await self._answer(request, chat, ChatResponse(chat), model, from_chat(chat, model))

    async def create_completion(self, request: Request) -> Response:
        completion = await read_body(request, CompletionRequest)
        model = await self._admission.served_model(completion)
        generations = from_completion(completion, model)
        num_prompts = len(generations) // completion.num_candidates
        echoes = await echoed_prompts(self._triton, model, completion)
        response = CompletionResponse(completion, num_prompts, echoes)
        return await self._answer(request, completion, response, model, generations)

    async def list_models(self) -> dict[str, Any]:
        return model_list(await self._triton.served_model())

    async def retrieve_model(self, model: str) -> dict[str, Any]:
        served = await self._triton.served_model()
        if model not in served.names:
            raise model_not_found(model)
        return model_card(served, model)

    async def _answer(
        self,
        request: Request,
        parameters: GenerationParameters,
        response: ChatResponse | CompletionResponse,
        model: ServedModel,
        generations: Sequence[GenerationRequest],
    ) -> Response:
        slots = self._admission.slots(request, parameters, model, generations)
        deltas = run_choices(self._triton, model, generations, slots)
        if parameters.is_stream:
            return EventStream(request, _events(deltas, response, parameters.wants_usage_chunk))
        collected = await until_disconnect(request.receive, _collect(deltas, response))
        return JSONResponse(response.whole(collected))


def health_routes(triton: Triton) -> APIRouter:
    """/health: open to everybody, for probes."""
    router = APIRouter(prefix="/health")

    @router.get("/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/ready")
    async def ready() -> dict[str, str]:
        if not await triton.is_ready():
            raise EngineUnavailable("The model is not ready.")
        return {"status": "ready"}

    return router


async def _collect(
    deltas: AsyncGenerator[Delta, None], response: ChatResponse | CompletionResponse
) -> list[Delta]:
    collected = []
    async with aclosing(deltas):
        async for delta in deltas:
            response.usage.add(delta)
            collected.append(delta)
    return collected


async def _events(
    deltas: AsyncGenerator[Delta, None], response: ChatResponse | CompletionResponse, wants_usage_chunk: bool
) -> AsyncGenerator[bytes, None]:
    async with aclosing(deltas):
        async for delta in deltas:
            response.usage.add(delta)
            for frame in response.frames(delta):
                yield frame
    if wants_usage_chunk:
        yield data_frame(response.usage_chunk())
    yield DONE_FRAME
