"""The tools that a client offers, and which of them the model may or must call."""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError, to_json

from frontend.api.body import json_depth
from frontend.api.fields import Frozen, Hint, ListOf, field_error

MAX_TOOLS = 128
MAX_PARAMETERS_BYTES = 32 * 1024
# Leaves room within a guide for what surrounds the parameters of one tool.
MAX_PARAMETERS_DEPTH = 28


def _check_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type", "object") != "object":
        raise PydanticCustomError("parameters", "must be a JSON schema of the type object")
    if len(to_json(schema)) > MAX_PARAMETERS_BYTES:
        raise PydanticCustomError("parameters", f"must not be larger than {MAX_PARAMETERS_BYTES} bytes")
    if json_depth(schema) > MAX_PARAMETERS_DEPTH:
        raise PydanticCustomError("parameters", f"must not be deeper than {MAX_PARAMETERS_DEPTH} levels")
    return schema


ParametersSchema = Annotated[dict[str, Any], AfterValidator(_check_parameters)]


ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
# What the newer APIs allow.
LongToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]


class FunctionDefinition(Frozen):
    name: ToolName
    description: str | None = None
    parameters: ParametersSchema | None = None
    strict: bool | None = None
    # Every tool is told from the start, as if it had been searched for.
    defer_loading: Hint = None


class Tool(Frozen):
    type: Literal["function"]
    function: FunctionDefinition

    defer_loading: Hint = None

    @property
    def name(self) -> str:
        return self.function.name


class FunctionName(Frozen):
    name: str


class NamedTool(Frozen):
    type: Literal["function"]
    function: FunctionName


def named_tool(name: str) -> NamedTool:
    return NamedTool(type="function", function=FunctionName(name=name))


class AllowedTools(Frozen):
    mode: Literal["auto", "required"]
    tools: ListOf[NamedTool] = Field(min_length=1, max_length=MAX_TOOLS)


class AllowedToolsChoice(Frozen):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


def _choice_form(choice: Any) -> str | None:
    if isinstance(choice, str):
        return "mode"
    return choice.get("type") if isinstance(choice, dict) else getattr(choice, "type", None)


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("mode")]
    | Annotated[NamedTool, Tag("function")]
    | Annotated[AllowedToolsChoice, Tag("allowed_tools")],
    Discriminator(
        _choice_form,
        custom_error_type="tool_choice",
        custom_error_message="must be none, auto, required, a function or allowed_tools",
    ),
]


class ToolFields(Frozen):
    """The fields of a chat request about tools.

    A required or named choice is honoured by a grammar and gives exactly one call. With the choice auto the
    model decides and no schema is enforced, strict or not; parallel_tool_calls false then drops later calls.
    """

    tools: ListOf[Tool] | None = Field(default=None, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None

    @property
    def offered_tools(self) -> list[Tool]:
        """The tools that the model is told of."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def callable_tools(self) -> list[Tool]:
        """Those of the offered tools that the choice leaves open."""
        names = self._chosen_names
        return [tool for tool in self.offered_tools if not names or tool.name in names]

    @property
    def must_call_tool(self) -> bool:
        if isinstance(self.tool_choice, AllowedToolsChoice):
            return self.tool_choice.allowed_tools.mode == "required"
        return self.tool_choice == "required" or self.is_tool_named

    @property
    def is_tool_named(self) -> bool:
        return isinstance(self.tool_choice, NamedTool)

    @property
    def _chosen_names(self) -> list[str]:
        """The names in tool_choice, none where it leaves every tool open."""
        if isinstance(self.tool_choice, NamedTool):
            return [self.tool_choice.function.name]
        if isinstance(self.tool_choice, AllowedToolsChoice):
            return [tool.function.name for tool in self.tool_choice.allowed_tools.tools]
        return []

    @model_validator(mode="after")
    def _names_are_unique(self) -> "ToolFields":
        counts = Counter(tool.name for tool in self.tools or [])
        if repeated := [name for name, count in counts.items() if count > 1]:
            raise field_error("tools", f"the name {repeated[0]} is used twice")
        return self

    @model_validator(mode="after")
    def _choice_is_possible(self) -> "ToolFields":
        names = {tool.name for tool in self.tools or []}
        if unknown := [name for name in self._chosen_names if name not in names]:
            raise field_error("tool_choice", f"there is no tool named {unknown[0][:64]}")
        if self.must_call_tool and not names:
            raise field_error("tool_choice", "needs at least one tool")
        return self
