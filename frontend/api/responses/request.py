"""OpenAI's Responses API: what a client may send, and the chat request that it stands for."""

from typing import Annotated, Any, Literal, get_args

from pydantic import ConfigDict, Field, Tag, model_validator

from frontend.api.chat.messages import check_results
from frontend.api.chat.request import ChatRequest
from frontend.api.chat.tools import FunctionDefinition, LongToolName, NamedTool, Tool, named_tool
from frontend.api.chat.translation import chat_request
from frontend.api.fields import (
    WHOLE,
    Frozen,
    Hint,
    ListOf,
    NullMeans,
    Positive,
    Stored,
    Unsupported,
    few_members,
    named_kind,
    told_apart_by,
)
from frontend.api.responses.input import Input, chat_messages
from frontend.api.sampling import (
    ExtraParameters,
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
    format: Annotated[TextOutput, NullMeans(TextFormat(type="text"))] = TextFormat(type="text")
    verbosity: Hint = None


class ResponsesFunction(FunctionDefinition):
    type: Literal["function"]
    name: LongToolName
    allowed_callers: ListOf[Literal["direct"]] | None = None
    output_schema: Unsupported = None
    async_: Unsupported = Field(default=None, alias="async")


class Namespace(Frozen):
    """Functions that are named together; each is offered under its own name."""

    type: Literal["namespace"]
    name: str = Field(min_length=1)
    description: str | None = None
    tools: ListOf[ResponsesFunction]


class HostedTool(Frozen):
    """A search that OpenAI's servers offer to a model, which may do without it."""

    model_config = ConfigDict(extra="ignore")

    type: Literal[
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
        "tool_search",
    ]


def _kind(tool: Any) -> str | None:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    return kind if kind in ("function", "namespace") else "search" if kind in _SEARCHES else None


_SEARCHES = get_args(HostedTool.model_fields["type"].annotation)
ResponsesTool = Annotated[
    Annotated[ResponsesFunction, Tag("function")]
    | Annotated[Namespace, Tag("namespace")]
    | Annotated[HostedTool, Tag("search")],
    named_kind(_kind, "must be function, namespace, web_search or tool_search"),
]


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


MetadataKey = Annotated[str, Field(max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


# Of items that no answer here has, but for the log-probs.
Includable = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
    "file_search_call.results",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "message.input_image.image_url",
]


class ResponsesPrompt(Frozen):
    """What the prompt is made of: all that counting its tokens takes."""

    model: str
    input: Input
    instructions: str | None = None
    tools: ListOf[ResponsesTool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Hint = None
    # A prompt beyond the window is refused, as with the value disabled.
    truncation: Literal["disabled", "auto"] | None = None
    personality: Hint = None
    previous_response_id: Stored = None
    conversation: Stored = None

    @model_validator(mode="after")
    def _results_are_of_calls(self) -> "ResponsesPrompt":
        items = [] if isinstance(self.input, str) else self.input
        check_results(
            (
                f"input[{index}].call_id",
                [item.call_id] if item.type == "function_call" else [],
                item.call_id if item.type == "function_call_output" else None,
            )
            for index, item in enumerate(items)
        )
        return self

    @property
    def functions(self) -> list[ResponsesFunction]:
        """Those of namespaces too."""
        groups = (tool.tools if isinstance(tool, Namespace) else [tool] for tool in self.tools or [])
        return [tool for group in groups for tool in group if isinstance(tool, ResponsesFunction)]

    @property
    def namespaces(self) -> dict[str, str]:
        """Name of a function -> its namespace, of those that have one."""
        spaces = [tool for tool in self.tools or [] if isinstance(tool, Namespace)]
        return {tool.name: space.name for space in spaces for tool in space.tools}


class ResponsesRequest(ResponsesPrompt, ExtraParameters):
    max_output_tokens: Positive | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stream: bool | None = None
    stream_options: Hint = None

    metadata: Annotated[dict[MetadataKey, MetadataValue], few_members(16), Field(max_length=16)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    # Of tools that run at the server; none do.
    max_tool_calls: Positive | None = None

    include: ListOf[Includable] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), WHOLE] | None = None
    prompt_cache_options: Hint = None
    prompt_cache_retention: Hint = None
    access_programs: Unsupported = None
    store: Stored = None
    background: Stored = None
    background_options: Stored = None
    context_management: Unsupported = None
    image: Unsupported = None
    moderation: Unsupported = None
    prompt: Stored = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)

    @property
    def wants_logprobs(self) -> bool:
        return bool("message.output_text.logprobs" in (self.include or []) or self.top_logprobs)


def to_chat(request: ResponsesRequest) -> ChatRequest:
    return chat_request(
        {
            **_prompt_fields(request),
            **{name: getattr(request, name) for name in ExtraParameters.model_fields},
            "max_completion_tokens": request.max_output_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "logprobs": request.wants_logprobs,
            "top_logprobs": request.top_logprobs if request.wants_logprobs else None,
            "stream": request.stream,
            "stream_options": {"include_usage": True} if request.stream else None,
            "user": request.user,
        },
        FIELD_NAMES,
    )


def to_chat_prompt(prompt: ResponsesPrompt) -> ChatRequest:
    """The chat request whose prompt is this one's."""
    return chat_request(_prompt_fields(prompt), FIELD_NAMES)


def _prompt_fields(prompt: ResponsesPrompt) -> dict[str, Any]:
    return {
        "model": prompt.model,
        "messages": chat_messages(prompt.instructions, prompt.input),
        "tools": [Tool(type="function", function=tool) for tool in prompt.functions] or None,
        "tool_choice": _tool_choice(prompt.tool_choice),
        "parallel_tool_calls": prompt.parallel_tool_calls,
        "response_format": None if prompt.text is None else _response_format(prompt.text.format),
    }


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
