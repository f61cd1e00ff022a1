"""What a client may send for a chat, with its bounds."""

from typing import Literal

from pydantic import Field, model_validator

from frontend.api.chat.messages import Message, check_arguments
from frontend.api.chat.tool_calls import PYTHON_TAG
from frontend.api.chat.tools import ToolFields
from frontend.api.fields import ListOf, Unsupported, UnsupportedOptions, field_error
from frontend.api.sampling import INT32_MAX, GenerationParameters


class ChatRequest(GenerationParameters, ToolFields):
    messages: ListOf[Message] = Field(min_length=1, max_length=10_000)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=INT32_MAX)
    # As `user`, they say something to OpenAI's own operators and caches; every prefix is cached here.
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    add_generation_prompt: bool = True
    continue_final_message: bool = False

    best_of: Unsupported = None
    functions: Unsupported = None
    function_call: Unsupported = None
    audio: Unsupported = None
    prediction: Unsupported = None
    web_search_options: UnsupportedOptions = None
    store: Unsupported = None
    metadata: Unsupported = None
    moderation: Unsupported = None
    prompt_cache_options: Unsupported = None
    prompt_cache_retention: Literal["in_memory"] | None = None
    reasoning_effort: Literal["none"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    verbosity: Literal["medium"] | None = None
    modalities: ListOf[Literal["text"]] | None = None

    @property
    def max_new_tokens(self) -> int | None:
        """None: the rest of the context window."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def kept_special(self) -> frozenset[bytes]:
        return frozenset({PYTHON_TAG.encode()}) if self.offered_tools else frozenset()

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.logprobs)

    @property
    def num_top_logprobs(self) -> int:
        return self.top_logprobs or 0

    @model_validator(mode="after")
    def _arguments_of_calls_are_objects(self) -> "ChatRequest":
        check_arguments(self.messages)
        return self

    @model_validator(mode="after")
    def _top_logprobs_need_logprobs(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise field_error("top_logprobs", "is only allowed with logprobs")
        if self.add_generation_prompt and self.continue_final_message:
            raise field_error("continue_final_message", "needs add_generation_prompt set to false")
        return self
