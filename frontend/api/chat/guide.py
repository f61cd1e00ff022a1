"""What a chat's tools and its response format ask of the output together -> one guide for the engine."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from frontend.api.chat.request import ChatRequest
from frontend.api.chat.tools import Tool
from frontend.api.guide import Guide, requested_guide, schema_guide
from frontend.api.sampling import JsonSchemaFormat
from frontend.errors import InvalidRequest

Schema = dict[str, Any]

# Text, or calls that obey their schemas.
FREE_OR_CALL: Final = "text_or_json_schema"


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
    definitions: Schema = {tool.name: (parameters or _parameters)(tool) for tool in tools}
    schema: Schema = {"anyOf": [_call(tool) for tool in tools], "$defs": {"tools": definitions}}
    if answer is not None:
        schema["anyOf"].append({"$ref": "#/$defs/answer"})
        schema["$defs"]["answer"] = _moved(answer, "#/$defs/answer")
    return schema


def _call(tool: Tool) -> Schema:
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.name},
            "parameters": {"$ref": f"#/$defs/tools/{tool.name}"},
        },
        "required": ["name", "parameters"],
        "additionalProperties": False,
    }


def _strict_parameters(tool: Tool) -> Schema:
    """Where the model is free to call, only a schema that is meant strictly binds it."""
    return _parameters(tool) if tool.function.strict else {"type": "object"}


def _parameters(tool: Tool) -> Schema:
    if tool.function.parameters is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    schema: Schema = _moved(tool.function.parameters, f"#/$defs/tools/{tool.name}")
    return {"type": "object", **schema}


def _moved(schema: Any, place: str) -> Any:
    """The schema with its references to itself pointing to where it is put."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _moved_reference(key, value, place) for key, value in schema.items()}


def _moved_reference(key: str, value: Any, place: str) -> Any:
    if key == "$ref" and isinstance(value, str) and value.startswith("#"):
        return place + value[1:]
    return _moved(value, place)
