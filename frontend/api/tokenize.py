"""/tokenize and /detokenize: the served model's tokenizer, for clients that count."""

from typing import Any

from fastapi import APIRouter, Request

from frontend.api.admission import Admission
from frontend.api.body import read_body
from frontend.api.chat.prompt import chat_prompt
from frontend.api.json_route import add_json_route
from frontend.api.tokenize_request import DetokenizeRequest, TokenizeRequest, TokenizeText
from frontend.errors import InvalidRequest
from frontend.generation.logprobs import spelled
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton


class TokenizeRoutes:
    def __init__(self, triton: Triton, admission: Admission) -> None:
        self._triton = triton
        self._admission = admission
        self.router = APIRouter()
        add_json_route(self.router, "POST", "/tokenize", self.tokenize, TokenizeRequest)
        add_json_route(self.router, "POST", "/detokenize", self.detokenize, DetokenizeRequest)

    async def tokenize(self, request: Request) -> dict[str, Any]:
        body = (await read_body(request, TokenizeRequest)).root
        model = await self._admission.named_model(body.model)
        self._admission.charge(request)
        prompt = {"text_input": body.prompt} if isinstance(body, TokenizeText) else chat_prompt(body)
        ids = await self._triton.preprocess(model, prompt)
        texts = _texts(model, ids) if body.return_token_strs else None
        return {"count": len(ids), "max_model_len": model.max_model_len, "tokens": ids, "token_strs": texts}

    async def detokenize(self, request: Request) -> dict[str, str]:
        body = await read_body(request, DetokenizeRequest)
        model = await self._admission.named_model(body.model)
        if max(body.tokens, default=0) >= model.vocab_size:
            raise InvalidRequest(f"The ids must be below {model.vocab_size}.", "tokens")
        self._admission.charge(request)
        return {"prompt": b"".join(spelled(model.vocabulary, body.tokens)).decode("utf-8", "replace")}


def _texts(model: ServedModel, ids: list[int]) -> list[str]:
    return [piece.decode("utf-8", "replace") for piece in spelled(model.vocabulary, ids)]
