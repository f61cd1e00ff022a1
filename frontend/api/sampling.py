"""The parameters that chats and completions share: OpenAI's fields and those that vLLM's users know."""

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from frontend.api.fields import (
    INT32_MAX,
    WHOLE,
    Frozen,
    Hint,
    Item,
    ListOf,
    Natural,
    NullMeans,
    Off,
    On,
    Positive,
    Unsupported,
    few_members,
    field_error,
    told_apart_by,
)

MAX_LISTED_TOKENS = 1024
MAX_STOP_STRING_CHARS = 256
# A phrase. All words of a request take preprocess 0.1 s, once for all of its generations.
MAX_BAD_WORD_CHARS = 256
MAX_BAD_WORDS_CHARS = 16 * 1024
# What an engine takes; a schema or grammar in a string is not even read beyond it.
MAX_GUIDE_BYTES = 64 * 1024
# Of what is told to nobody, or is a name: twice what OpenAI documents.
MAX_NAME_CHARS = 1024

Listed = Annotated[ListOf[Item], Field(max_length=MAX_LISTED_TOKENS), NullMeans([])]
GuideText = Annotated[str, Field(max_length=MAX_GUIDE_BYTES)]
Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
StopString = Annotated[str, Field(min_length=1, max_length=MAX_STOP_STRING_CHARS)]
BadWord = Annotated[str, Field(min_length=1, max_length=MAX_BAD_WORD_CHARS)]
TokenId = Natural
Bias = Annotated[float, Field(ge=-100, le=100)]
TokenIdText = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]


class StreamOptions(Frozen):
    include_usage: Off = False
    continuous_usage_stats: Off = False
    include_obfuscation: Hint = None


class TextFormat(Frozen):
    type: Literal["text"]


class JsonObjectFormat(Frozen):
    type: Literal["json_object"]
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """As llama.cpp, SGLang and TensorRT-LLM have it."""


class JsonSchema(Frozen):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Frozen):
    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("type text")]
    | Annotated[JsonObjectFormat, Tag("type json_object")]
    | Annotated[JsonSchemaFormat, Tag("type json_schema")],
    told_apart_by("type", "text", "json_object", "json_schema"),
]
Choices = Annotated[ListOf[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1000)]


class StructuredOutputs(Frozen):
    """vLLM's extension: one of its fields says what the text must look like."""

    json_: dict[str, Any] | GuideText | None = Field(default=None, alias="json")
    json_object: bool | None = None
    regex: GuideText | None = None
    choice: Choices | None = None
    grammar: GuideText | None = None

    disable_fallback: Hint = None
    structural_tag: Unsupported = None
    whitespace_pattern: Unsupported = None
    disable_any_whitespace: Unsupported = None
    disable_additional_properties: Unsupported = None


class ExtraParameters(Frozen):
    """Of sampling and of the output's form, in OpenAI's or vLLM's words; not of Anthropic's API."""

    min_tokens: Annotated[Natural, NullMeans(0)] = 0
    ignore_eos: Off = False
    top_k: Annotated[int, Field(ge=-1, le=INT32_MAX), WHOLE] | None = None
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1), WHOLE] | None = None
    stop: StopString | ListOf[StopString] | None = None
    stop_token_ids: Listed[TokenId] = Field(default=[])
    bad_words: Listed[BadWord] = Field(default=[])
    logit_bias: Annotated[dict[TokenIdText, Bias], few_members(MAX_LISTED_TOKENS)] | None = Field(
        default=None, max_length=MAX_LISTED_TOKENS
    )
    include_stop_str_in_output: Off = False
    skip_special_tokens: On = True

    structured_outputs: StructuredOutputs | None = None
    guided_json: dict[str, Any] | GuideText | None = None
    guided_regex: GuideText | None = None
    guided_choice: Choices | None = None
    guided_grammar: GuideText | None = None
    # What llama.cpp and SGLang call them.
    json_schema: dict[str, Any] | GuideText | None = None
    regex: GuideText | None = None
    grammar: GuideText | None = None
    ebnf: GuideText | None = None

    @model_validator(mode="after")
    def _bad_words_are_few(self) -> "ExtraParameters":
        if sum(map(len, self.bad_words)) > MAX_BAD_WORDS_CHARS:
            raise field_error("bad_words", f"must be of {MAX_BAD_WORDS_CHARS} characters at most, in all")
        return self


class GenerationParameters(ExtraParameters):
    """The part that chat and completions share."""

    model: Name
    max_tokens: Positive | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: Annotated[int, Field(ge=1), WHOLE] | None = None
    # vLLM's: of a longer prompt the last so many tokens remain; -1: as many as the window leaves.
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=INT32_MAX), WHOLE] | None = None
    truncation_side: Literal["left"] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Name | None = None
    response_format: ResponseFormat | None = None

    @property
    def num_choices(self) -> int:
        return self.n or 1

    @property
    def num_candidates(self) -> int:
        """Choices to generate for each prompt; more than are answered with when the best are picked."""
        return self.num_choices

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    @property
    def stop_strings(self) -> tuple[str, ...]:
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def num_top_logprobs(self) -> int:
        """Likeliest tokens to tell at each position."""
        return 0

    @property
    def scores_prompt(self) -> bool:
        """Whether the prompt's own tokens have log-probs."""
        return False

    @property
    def kept_special(self) -> frozenset[bytes]:
        """Names of special tokens that are told from text later on."""
        return frozenset()

    @property
    def shows_usage(self) -> bool:
        return not self.stream or self.wants_usage_chunk

    @property
    def wants_usage_chunk(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def wants_usage_in_chunks(self) -> bool:
        """As vLLM has it, only beside the usage at the end."""
        return self.wants_usage_chunk and bool(
            self.stream_options and self.stream_options.continuous_usage_stats
        )

    @model_validator(mode="after")
    def _stream_options_need_stream(self) -> "GenerationParameters":
        if self.stream_options is not None and not self.stream:
            raise field_error("stream_options", "is only allowed with stream")
        return self
