"""/tokenize and /detokenize, in vLLM's form: the served model's tokenizer, for clients that count."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Discriminator, Field, RootModel, Tag

from frontend.api.admission import Admission
from frontend.api.body import read_body
from frontend.api.chat.prompt import chat_prompt
from frontend.api.chat.request import ChatRequest
from frontend.api.fields import Frozen, Hint, ListOf, Off, On
from frontend.api.openapi import add_json_route
from frontend.api.sampling import TokenId
from frontend.errors import InvalidRequest
from frontend.generation.logprobs import spelled
from frontend.triton.model import ServedModel
from frontend.triton.tensors import TensorValue
from frontend.triton.triton import Triton


class TokenizeText(Frozen):
    model: str | None = None
    prompt: str
    # What the tokenizer puts before every text, as for /v1/completions.
    add_special_tokens: On = True
    return_token_strs: Off = False


class TokenizeChat(ChatRequest):
    model: str | None = None  # type: ignore[assignment]
    # The chat template writes them, and what it has written is not doubled.
    add_special_tokens: Hint = None
    return_token_strs: Off = False


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
    model: str | None = None
    tokens: ListOf[TokenId] = Field(max_length=1_000_000)


def tokenize_routes(triton: Triton, admission: Admission) -> APIRouter:
    async def tokenize(request: Request) -> dict[str, Any]:
        body = (await read_body(request, TokenizeRequest)).root
        model = await admission.named_model(body.model)
        admission.charge(request)
        ids = await triton.preprocess(model, _prompt(body))
        texts = _vocabulary_words(model, ids) if body.return_token_strs else None
        return {"count": len(ids), "max_model_len": model.max_model_len, "tokens": ids, "token_strs": texts}

    async def detokenize(request: Request) -> dict[str, str]:
        body = await read_body(request, DetokenizeRequest)
        model = await admission.named_model(body.model)
        if max(body.tokens, default=0) >= model.vocab_size:
            raise InvalidRequest(f"The ids must be below {model.vocab_size}.", "tokens")
        admission.charge(request)
        return {"prompt": b"".join(spelled(model.vocabulary, body.tokens)).decode("utf-8", "replace")}

    async def tokenizer_info() -> dict[str, Any]:
        """What lm-eval's remote tokenizer asks for."""
        model = await triton.served_model()
        bare = await triton.preprocess(model, {"text_input": "a", "add_special_tokens": False})
        ids = await triton.preprocess(model, {"text_input": "a"})
        before = ids[: len(ids) - len(bare)]
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.max_model_len,
            "bos_token": _name(model, before[0]) if before else None,
            "eos_token": _name(model, model.end_id),
        }

    router = APIRouter()
    add_json_route(router, "GET", "/tokenizer_info", tokenizer_info)
    add_json_route(router, "POST", "/tokenize", tokenize, TokenizeRequest)
    add_json_route(router, "POST", "/detokenize", detokenize, DetokenizeRequest)
    return router


def _prompt(body: TokenizeText | TokenizeChat) -> dict[str, TensorValue]:
    if isinstance(body, TokenizeChat):
        return chat_prompt(body)
    return {"text_input": body.prompt, "add_special_tokens": body.add_special_tokens}


def _name(model: ServedModel, token_id: int) -> str:
    return spelled(model.vocabulary, [token_id])[0].decode("utf-8", "replace")


def _vocabulary_words(model: ServedModel, ids: list[int]) -> list[str]:
    """What the vocabulary calls them, as vLLM has it: byte-level BPE has a character for each byte."""
    return [
        piece.decode("utf-8", "replace")
        if token_id in model.special_ids
        else piece.decode("latin-1").translate(_SPELLING)
        for token_id, piece in zip(ids, spelled(model.vocabulary, ids), strict=True)
    ]


def _byte_spelling() -> dict[int, str]:
    """GPT-2's bytes_to_unicode: printable bytes are themselves, the others follow from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {byte: chr(0x100 + number) for number, byte in enumerate(others)}


_SPELLING = _byte_spelling()
