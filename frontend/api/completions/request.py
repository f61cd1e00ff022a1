"""What a client may send for completions, with its bounds."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from frontend.api.fields import WHOLE, ListOf, Natural, Off, On, field_error, unsupported
from frontend.api.sampling import GenerationParameters, TokenId


def _prompt_form(prompt: Any) -> str | None:
    if not isinstance(prompt, str | list):
        return None
    first = prompt[0] if isinstance(prompt, list) and prompt else None
    if isinstance(first, list):
        return "id lists"
    if isinstance(first, int):
        return "ids"
    return "texts" if isinstance(prompt, list) else "text"


# Told apart by the first element, so that an error names the element that is wrong.
Prompt = Annotated[
    Annotated[str, Tag("text")]
    | Annotated[ListOf[str], Tag("texts")]
    | Annotated[ListOf[TokenId], Tag("ids")]
    | Annotated[ListOf[ListOf[TokenId]], Tag("id lists")],
    Discriminator(
        _prompt_form,
        custom_error_type="prompt",
        custom_error_message="must be a string, a list of strings, token ids or a list of lists of them",
    ),
]


class CompletionRequest(GenerationParameters):
    prompt: Prompt
    max_tokens: Natural | None = 16
    logprobs: Annotated[int, Field(ge=0, le=5), WHOLE] | None = None
    echo: Off = False
    best_of: Annotated[int, Field(ge=1, le=20), WHOLE] | None = None

    suffix: Annotated[Any, unsupported("this model was not trained to fill a gap")] = None
    add_special_tokens: On = True

    @property
    def prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [item for item in self.prompt if isinstance(item, int)]
        return [ids] if ids else [item for item in self.prompt if not isinstance(item, int)]

    @property
    def max_new_tokens(self) -> int | None:
        return self.max_tokens

    @property
    def wants_logprobs(self) -> bool:
        return self.logprobs is not None

    @property
    def num_top_logprobs(self) -> int:
        return self.logprobs or 0

    @property
    def scores_prompt(self) -> bool:
        return self.echo and self.wants_logprobs

    @property
    def num_candidates(self) -> int:
        return self.best_of or self.num_choices

    @model_validator(mode="after")
    def _no_tokens_need_echo(self) -> "CompletionRequest":
        if self.max_tokens == 0 and not self.echo:
            raise field_error("max_tokens", "may be 0 only with echo")
        return self

    @model_validator(mode="after")
    def _echo_needs_the_whole_prompt(self) -> "CompletionRequest":
        if self.echo and self.truncate_prompt_tokens is not None:
            raise field_error("truncate_prompt_tokens", "is not allowed with echo")
        return self

    @model_validator(mode="after")
    def _best_of_needs_whole_answers(self) -> "CompletionRequest":
        if self.best_of is not None and self.best_of < self.num_choices:
            raise field_error("best_of", "must be at least n")
        if self.best_of is not None and self.best_of > self.num_choices and self.stream:
            raise field_error("best_of", "is not allowed with stream when more than n")
        return self
