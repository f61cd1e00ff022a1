"""/v1/completions: texts that go on from a prompt."""

from fastapi import APIRouter, Request, Response

from frontend.api.admission import Admission
from frontend.api.answer import Answers
from frontend.api.body import read_body
from frontend.api.completions.echo import echoed_prompts
from frontend.api.completions.request import CompletionRequest
from frontend.api.completions.response import CompletionResponse
from frontend.api.generation_request import from_completion
from frontend.api.openapi import add_json_route
from frontend.triton.triton import Triton


def completion_routes(triton: Triton, admission: Admission, answers: Answers) -> APIRouter:
    async def create_completion(request: Request) -> Response:
        completion = await read_body(request, CompletionRequest)
        model = await admission.served_model(completion)
        generations = from_completion(completion, model)
        num_prompts = len(generations) // completion.num_candidates
        echoes = await echoed_prompts(triton, model, completion)
        reply = CompletionResponse(completion, num_prompts, echoes)
        return await answers.respond(request, completion, reply, model, generations)

    router = APIRouter(prefix="/v1")
    add_json_route(router, "POST", "/completions", create_completion, CompletionRequest)
    return router
