"""OpenAI's Responses API: what a client may send, and the chat request that it stands for."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Tag

from frontend.api.chat.request import ChatRequest
from frontend.api.chat.tools import FunctionDefinition, NamedTool, Tool, named_tool
from frontend.api.chat.translation import chat_request
from frontend.api.fields import Frozen, ListOf, Unsupported, few_members, told_apart_by
from frontend.api.responses.input import Input, chat_messages
from frontend.api.sampling import (
    INT32_MAX,
    JsonObjectFormat,
    JsonSchema,
    JsonSchemaFormat,
    ResponseFormat,
    TextFormat,
)

# Field of the chat request -> the field of this API that it is made from, for errors.
FIELD_NAMES = {
    "messages": "input",
    "tools": "tools",
    "response_format": "text.format",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
}


class JsonSchemaText(JsonSchema):
    type: Literal["json_schema"]


TextOutput = Annotated[
    Annotated[TextFormat, Tag("type text")]
    | Annotated[JsonObjectFormat, Tag("type json_object")]
    | Annotated[JsonSchemaText, Tag("type json_schema")],
    told_apart_by("type", "text", "json_object", "json_schema"),
]


class TextConfig(Frozen):
    format: TextOutput = TextFormat(type="text")
    verbosity: Literal["medium"] | None = None


class ResponsesFunction(FunctionDefinition):
    type: Literal["function"]
    allowed_callers: ListOf[Literal["direct"]] | None = None
    defer_loading: Unsupported = None
    output_schema: Unsupported = None
    async_: Unsupported = Field(default=None, alias="async")


class NamedFunction(Frozen):
    type: Literal["function"]
    name: str = Field(min_length=1)


class AllowedFunctions(Frozen):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: ListOf[NamedFunction]


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("type None")]
    | Annotated[NamedFunction, Tag("type function")]
    | Annotated[AllowedFunctions, Tag("type allowed_tools")],
    told_apart_by("type", "function", "allowed_tools"),
]


class Reasoning(Frozen):
    effort: Literal["none"] | None = None
    summary: Unsupported = None
    generate_summary: Unsupported = None


class ResponsesStreamOptions(Frozen):
    include_obfuscation: Unsupported = None


MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


class ResponsesRequest(Frozen):
    # Unknown fields are kept apart so that they can be logged by name.
    model_config = ConfigDict(extra="allow")

    model: str
    input: Input
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, le=INT32_MAX)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    tools: ListOf[ResponsesFunction] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    stream: bool | None = None
    stream_options: ResponsesStreamOptions | None = None

    metadata: Annotated[dict[MetadataKey, MetadataValue], few_members(16), Field(max_length=16)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    include: ListOf[Literal["message.output_text.logprobs"]] | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    truncation: Literal["disabled"] | None = None
    service_tier: Literal["auto", "default"] | None = None
    reasoning: Reasoning | None = None
    # Nothing is kept between requests: a client sends its previous turns as input.
    store: Unsupported = None
    previous_response_id: Unsupported = None
    conversation: Unsupported = None

    background: Unsupported = None
    background_options: Unsupported = None
    context_management: Unsupported = None
    image: Unsupported = None
    max_tool_calls: Unsupported = None
    moderation: Unsupported = None
    prompt: Unsupported = None
    prompt_cache_options: Unsupported = None
    prompt_cache_retention: Literal["in_memory"] | None = None
    access_programs: Unsupported = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    @property
    def wants_logprobs(self) -> bool:
        return bool(self.include or self.top_logprobs)


def to_chat(request: ResponsesRequest) -> ChatRequest:
    return chat_request(
        {
            "model": request.model,
            "messages": chat_messages(request.instructions, request.input),
            "max_completion_tokens": request.max_output_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "tools": [Tool(type="function", function=tool) for tool in request.tools or []] or None,
            "tool_choice": _tool_choice(request.tool_choice),
            "parallel_tool_calls": request.parallel_tool_calls,
            "response_format": None if request.text is None else _response_format(request.text.format),
            "logprobs": request.wants_logprobs,
            "top_logprobs": request.top_logprobs if request.wants_logprobs else None,
            "stream": request.stream,
            "stream_options": {"include_usage": True} if request.stream else None,
            "user": request.user,
        },
        FIELD_NAMES,
    )


def _tool_choice(choice: ToolChoice | None) -> str | NamedTool | dict[str, Any] | None:
    if isinstance(choice, NamedFunction):
        return named_tool(choice.name)
    if isinstance(choice, AllowedFunctions):
        # Its bounds are the chat request's to check.
        tools = [named_tool(tool.name) for tool in choice.tools]
        return {"type": choice.type, "allowed_tools": {"mode": choice.mode, "tools": tools}}
    return choice


def _response_format(output: TextOutput) -> ResponseFormat:
    if isinstance(output, JsonSchemaText):
        return JsonSchemaFormat(type="json_schema", json_schema=output)
    return output
