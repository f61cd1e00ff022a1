"""/tokenize and /detokenize, in vLLM's form: the served model's tokenizer, for clients that count."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag

from frontend.api.admission import Admission
from frontend.api.body import read_body
from frontend.api.chat.prompt import chat_prompt
from frontend.api.chat.request import ChatRequest
from frontend.api.fields import Frozen, ListOf
from frontend.api.openapi import add_json_route
from frontend.api.sampling import TokenId
from frontend.errors import InvalidRequest
from frontend.generation.logprobs import spelled
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton


class TokenizeText(Frozen):
    model_config = ConfigDict(extra="allow")

    model: str
    prompt: str
    # The tokenizer adds what the model's prompts begin with, as for /v1/completions.
    add_special_tokens: Literal[True] = True
    return_token_strs: bool = False


class TokenizeChat(ChatRequest):
    # The chat template writes them.
    add_special_tokens: Literal[False] = False
    return_token_strs: bool = False


def _form(body: Any) -> str:
    return "chat" if isinstance(body, dict) and "messages" in body else "text"


class TokenizeRequest(
    RootModel[
        Annotated[
            Annotated[TokenizeText, Tag("text")] | Annotated[TokenizeChat, Tag("chat")],
            Discriminator(_form),
        ]
    ]
):
    """A text, or the messages of a chat."""


class DetokenizeRequest(Frozen):
    model_config = ConfigDict(extra="allow")

    model: str
    tokens: ListOf[TokenId] = Field(max_length=1_000_000)


def tokenize_routes(triton: Triton, admission: Admission) -> APIRouter:
    async def tokenize(request: Request) -> dict[str, Any]:
        body = (await read_body(request, TokenizeRequest)).root
        model = await admission.named_model(body.model)
        admission.charge(request)
        prompt = {"text_input": body.prompt} if isinstance(body, TokenizeText) else chat_prompt(body)
        ids = await triton.preprocess(model, prompt)
        texts = _texts(model, ids) if body.return_token_strs else None
        return {"count": len(ids), "max_model_len": model.max_model_len, "tokens": ids, "token_strs": texts}

    async def detokenize(request: Request) -> dict[str, str]:
        body = await read_body(request, DetokenizeRequest)
        model = await admission.named_model(body.model)
        if max(body.tokens, default=0) >= model.vocab_size:
            raise InvalidRequest(f"The ids must be below {model.vocab_size}.", "tokens")
        admission.charge(request)
        return {"prompt": b"".join(spelled(model.vocabulary, body.tokens)).decode("utf-8", "replace")}

    router = APIRouter()
    add_json_route(router, "POST", "/tokenize", tokenize, TokenizeRequest)
    add_json_route(router, "POST", "/detokenize", detokenize, DetokenizeRequest)
    return router


def _texts(model: ServedModel, ids: list[int]) -> list[str]:
    return [piece.decode("utf-8", "replace") for piece in spelled(model.vocabulary, ids)]
