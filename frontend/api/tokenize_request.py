"""Bodies of /tokenize and /detokenize, in vLLM's form."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag

from frontend.api.fields import Frozen, ListOf
from frontend.api.requests import ChatRequest, TokenId


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
