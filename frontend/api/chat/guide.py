"""What a chat's tools and its response format ask of the output together -> one guide for the engine."""

from collections.abc import Callable, Sequence
from typing import Final

from frontend.api.chat.request import ChatRequest
from frontend.api.chat.schema_references import Schema, moved
from frontend.api.chat.tools import Tool
from frontend.api.guide import Guide, requested_guide, schema_guide
from frontend.api.sampling import JsonSchemaFormat
from frontend.errors import InvalidRequest

# Text, or calls that obey their schemas.
FREE_OR_CALL: Final = "text_or_json_schema"

# A tool whose schema has none of them names no argument, and takes none.
_ARGUMENTS = frozenset(
    (
        *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "required"),
        *("minProperties", "propertyNames", "dependentRequired", "dependentSchemas", "const", "enum"),
        *("allOf", "anyOf", "oneOf", "not", "if", "$ref", "$dynamicRef"),
    )
)


def chat_guide(chat: ChatRequest) -> Guide | None:
    """A response format is about what is said: a forced call goes before it, a possible one beside it."""
    guide = requested_guide(chat)
    if chat.must_call_tool:
        if guide is not None and guide.param != "response_format":
            raise InvalidRequest(f"{guide.param}: is not allowed with a required tool call.", guide.param)
        return schema_guide(_schema(chat.callable_tools, None), "tool_choice")
    if guide is not None and chat.callable_tools and isinstance(chat.response_format, JsonSchemaFormat):
        answer = chat.response_format.json_schema.schema_
        return schema_guide(_schema(chat.callable_tools, answer), "response_format")
    is_strict = any(tool.function.strict for tool in chat.callable_tools)
    if guide is None and is_strict:
        return schema_guide(_schema(chat.callable_tools, None, _strict_parameters), "tools", FREE_OR_CALL)
    return guide


def _schema(
    tools: Sequence[Tool], answer: Schema | None, parameters: Callable[[Tool], Schema] | None = None
) -> Schema:
    """One call of any of the tools, or the answer if there is one."""
    definitions: Schema = {f"tool_{tool.name}": (parameters or _parameters)(tool) for tool in tools}
    schema: Schema = {"anyOf": [_call(tool) for tool in tools], "$defs": definitions}
    if answer is not None:
        schema["anyOf"].append({"$ref": "#/$defs/answer"})
        schema["$defs"]["answer"] = moved(answer, "#/$defs/answer")
    return schema


def _call(tool: Tool) -> Schema:
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.name},
            "parameters": {"$ref": _place(tool)},
        },
        "required": ["name", "parameters"],
        "additionalProperties": False,
    }


def _strict_parameters(tool: Tool) -> Schema:
    """Where the model is free to call, only a schema that is meant strictly binds it."""
    return _parameters(tool) if tool.function.strict else {"type": "object"}


def _parameters(tool: Tool) -> Schema:
    schema = tool.function.parameters or {}
    if _ARGUMENTS.isdisjoint(schema):
        return {"type": "object", "properties": {}, "additionalProperties": False}
    return {"type": "object", **moved(schema, _place(tool))}


def _place(tool: Tool) -> str:
    return f"#/$defs/tool_{tool.name}"
