"""Anthropic's Messages API: what a client may send, and the chat request that it stands for."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, Tag, model_validator

from frontend.api.anthropic.turns import (
    AssistantTurn,
    CacheControl,
    Text,
    ToolResultBlock,
    ToolUseBlock,
    Turn,
    chat_messages,
)
from frontend.api.chat.messages import check_results
from frontend.api.chat.request import ChatRequest
from frontend.api.chat.tools import (
    FunctionDefinition,
    LongToolName,
    NamedTool,
    ParametersSchema,
    Tool,
    named_tool,
)
from frontend.api.chat.translation import chat_request
from frontend.api.fields import (
    Frozen,
    Hint,
    ListOf,
    Natural,
    Off,
    Positive,
    Unsupported,
    field_error,
    named_kind,
    told_apart_by,
    unsupported,
)
from frontend.api.sampling import JsonSchema, JsonSchemaFormat, StopString

# Field of the chat request -> the field of this API that it is made from, for errors.
FIELD_NAMES = {
    "messages": "messages",
    "tools": "tools",
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}


def _without_nulls(schema: Any) -> Any:
    # Anthropic's own types allow these two to be null.
    if not isinstance(schema, dict):
        return schema
    return {key: value for key, value in schema.items() if value is not None or key not in _NULLABLE}


_NULLABLE = ("properties", "required")


class AnthropicTool(FunctionDefinition):
    type: Literal["custom"] | None = None
    name: LongToolName
    parameters: Annotated[ParametersSchema, BeforeValidator(_without_nulls)] = Field(alias="input_schema")
    cache_control: CacheControl | None = None

    # Arguments are streamed as they come in any case.
    eager_input_streaming: Hint = None
    allowed_callers: ListOf[Literal["direct"]] | None = None
    input_examples: Unsupported = None


class HostedTool(Frozen):
    """A search that Anthropic's servers offer to a model, which may do without it."""

    model_config = ConfigDict(extra="ignore")

    type: Annotated[str, Field(pattern="^(web_search|tool_search_tool)_")]
    name: str


def _kind(tool: Any) -> str | None:
    kind = tool.get("type") if isinstance(tool, dict) else getattr(tool, "type", None)
    if kind in (None, "custom"):
        return "custom"
    return "search" if str(kind).startswith(("web_search_", "tool_search_tool_")) else None


AnyTool = Annotated[
    Annotated[AnthropicTool, Tag("custom")] | Annotated[HostedTool, Tag("search")],
    named_kind(_kind, "must be custom, web_search_... or tool_search_tool_..."),
]


class NoToolChoice(Frozen):
    type: Literal["none"]


class FreeToolChoice(Frozen):
    type: Literal["auto", "any"]
    disable_parallel_tool_use: Off = False


class NamedToolChoice(Frozen):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: Off = False


ToolChoice = Annotated[
    Annotated[NoToolChoice, Tag("type none")]
    | Annotated[FreeToolChoice, Tag("type auto")]
    | Annotated[FreeToolChoice, Tag("type any")]
    | Annotated[NamedToolChoice, Tag("type tool")],
    told_apart_by("type", "auto", "any", "tool", "none"),
]


class JsonSchemaOutput(Frozen):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Frozen):
    format: JsonSchemaOutput | None = None
    effort: Hint = None
    task_budget: Hint = None


class Metadata(Frozen):
    user_id: str | None = None


class ClearThinking(Frozen):
    """There are no thoughts in a prompt here."""

    type: Literal["clear_thinking_20251015"]
    keep: Hint = None


class ContextManagement(Frozen):
    edits: ListOf[ClearThinking] | None = None


class AnthropicPrompt(Frozen):
    """What the prompt is made of: all that counting its tokens takes."""

    model: str
    messages: ListOf[Turn] = Field(min_length=1, max_length=10_000)
    system: Text | None = None
    tools: ListOf[AnyTool] | None = None
    tool_choice: ToolChoice | None = None
    output_config: OutputConfig | None = None
    thinking: Hint = None
    context_management: ContextManagement | None = None
    cache_control: CacheControl | None = None
    speed: Hint = None
    mcp_servers: Unsupported = None
    thread: Annotated[
        Any,
        unsupported(
            "this server keeps no threads; send the whole history without it",
            details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
        ),
    ] = None

    @property
    def functions(self) -> list[AnthropicTool]:
        return [tool for tool in self.tools or [] if isinstance(tool, AnthropicTool)]

    @model_validator(mode="after")
    def _results_are_of_calls(self) -> "AnthropicPrompt":
        check_results(
            (
                f"messages[{index}].content[{place}].tool_use_id",
                [block.id] if isinstance(block, ToolUseBlock) else [],
                block.tool_use_id if isinstance(block, ToolResultBlock) else None,
            )
            for index, turn in enumerate(self.messages)
            if not isinstance(turn.content, str)
            for place, block in enumerate(turn.content)
        )
        return self

    @model_validator(mode="after")
    def _every_call_has_a_result(self) -> "AnthropicPrompt":
        last = self.messages[-1].content
        if last and isinstance(last[-1], ToolUseBlock):
            raise field_error("messages", "the last message's tool_use needs a tool_result after it")
        return self


class AnthropicRequest(AnthropicPrompt):
    max_tokens: Positive
    stop_sequences: ListOf[StopString] | None = None
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: Natural | None = None
    stream: bool | None = None
    metadata: Metadata | None = None
    service_tier: Hint = None

    container: Unsupported = None
    diagnostics: Unsupported = None
    inference_geo: Unsupported = None

    @property
    def is_stream(self) -> bool:
        return bool(self.stream)


def to_chat(request: AnthropicRequest) -> ChatRequest:
    return chat_request(
        {
            **_prompt_fields(request),
            "max_tokens": request.max_tokens,
            "stop": request.stop_sequences,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "stream": request.stream,
            "stream_options": {"include_usage": True} if request.stream else None,
            "user": None if request.metadata is None else request.metadata.user_id,
        },
        FIELD_NAMES,
    )


def to_chat_prompt(prompt: AnthropicPrompt) -> ChatRequest:
    """The chat request whose prompt is this one's."""
    return chat_request(_prompt_fields(prompt), FIELD_NAMES)


def _prompt_fields(prompt: AnthropicPrompt) -> dict[str, Any]:
    # A last message of the assistant is the beginning of the answer.
    is_prefilled = isinstance(prompt.messages[-1], AssistantTurn)
    config = prompt.output_config
    return {
        "model": prompt.model,
        "messages": chat_messages(prompt.system, prompt.messages),
        "add_generation_prompt": not is_prefilled,
        "continue_final_message": is_prefilled,
        "tools": [Tool(type="function", function=tool) for tool in prompt.functions] or None,
        "tool_choice": _tool_choice(prompt.tool_choice),
        "parallel_tool_calls": _allows_parallel_calls(prompt.tool_choice),
        "response_format": _response_format(config.format) if config and config.format else None,
    }


def _tool_choice(choice: ToolChoice | None) -> str | NamedTool | None:
    if isinstance(choice, NamedToolChoice):
        return named_tool(choice.name)
    return None if choice is None else {"none": "none", "auto": "auto", "any": "required"}[choice.type]


def _allows_parallel_calls(choice: ToolChoice | None) -> bool | None:
    if isinstance(choice, (FreeToolChoice, NamedToolChoice)):
        return not choice.disable_parallel_tool_use
    return None


def _response_format(output: JsonSchemaOutput) -> JsonSchemaFormat:
    # The name is required in a chat request and says nothing to the model.
    schema = JsonSchema(name="output", schema=output.schema_, strict=True)
    return JsonSchemaFormat(type="json_schema", json_schema=schema)
