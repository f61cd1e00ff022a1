"""What a client may send for a chat, with its bounds."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from frontend.api.chat.messages import Message, check_arguments, check_results
from frontend.api.chat.tool_calls import PYTHON_TAG
from frontend.api.chat.tools import ToolFields
from frontend.api.fields import (
    WHOLE,
    Hint,
    ListOf,
    Off,
    On,
    Positive,
    Stored,
    Unsupported,
    UnsupportedOptions,
    field_error,
    unsupported,
)
from frontend.api.sampling import GenerationParameters

# What templates of models that reason are told.
REASONING_SWITCHES = frozenset({"enable_thinking", "thinking", "reasoning_effort", "thinking_budget"})


def _only_about_reasoning(switches: dict[str, Any]) -> dict[str, Any]:
    if others := sorted(switches.keys() - REASONING_SWITCHES):
        raise field_error(others[0], "this server does not support it")
    return switches


class ChatRequest(GenerationParameters, ToolFields):
    messages: ListOf[Message] = Field(min_length=1, max_length=10_000)
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), WHOLE] | None = None
    add_generation_prompt: On = True
    continue_final_message: Off = False
    service_tier: str | None = None

    # To OpenAI's operators and caches; to what a model would show beside its answer; of speed and style.
    safety_identifier: Hint = None
    prompt_cache_key: Hint = None
    prompt_cache_options: Hint = None
    prompt_cache_retention: Hint = None
    metadata: Hint = None
    reasoning_effort: Hint = None
    reasoning: Hint = None
    thinking: Hint = None
    verbosity: Hint = None
    prediction: Hint = None
    modalities: ListOf[Literal["text"]] | None = None
    chat_template_kwargs: Annotated[dict[str, Any], AfterValidator(_only_about_reasoning)] | None = None

    best_of: Unsupported = None
    echo: Unsupported = None
    functions: Annotated[Any, unsupported("send them as tools")] = None
    function_call: Annotated[Any, unsupported("send it as tool_choice", default="none")] = None
    audio: Unsupported = None
    web_search_options: UnsupportedOptions = None
    store: Stored = None
    moderation: Unsupported = None

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
    def _results_are_of_calls(self) -> "ChatRequest":
        check_results(
            (
                f"messages[{index}].tool_call_id",
                (call.id for call in message.tool_calls or []),
                message.tool_call_id if message.role == "tool" else None,
            )
            for index, message in enumerate(self.messages)
        )
        return self

    @model_validator(mode="after")
    def _top_logprobs_need_logprobs(self) -> "ChatRequest":
        if self.top_logprobs is not None and not self.logprobs:
            raise field_error("top_logprobs", "is only allowed with logprobs")
        if self.add_generation_prompt and self.continue_final_message:
            raise field_error("continue_final_message", "needs add_generation_prompt set to false")
        return self
