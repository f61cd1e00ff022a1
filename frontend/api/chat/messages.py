"""The messages of a chat, as a client sends them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Tag, model_validator
from pydantic_core import from_json

from frontend.api.body import MAX_WEIGHT, json_depth, json_weight
from frontend.api.fields import Frozen, Hint, ListOf, Unsupported, field_error, told_apart_by

MAX_ARGUMENTS_DEPTH = 32
# Of all calls: twice as much text as the 131,072 tokens of Llama 3.1's window hold.
MAX_ARGUMENTS_CHARS = 2**20


# Of a part that is none of them.
TEXT_ONLY = "this model takes text only"


class TextPart(Frozen):
    type: Literal["text"]
    text: str

    prompt_cache_breakpoint: Hint = None


class RefusalPart(Frozen):
    """What an assistant said in place of an answer; to the model it is text."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


Part = Annotated[
    Annotated[TextPart, Tag("type text")] | Annotated[RefusalPart, Tag("type refusal")],
    told_apart_by("type", "text", "refusal", note=TEXT_ONLY),
]
Content = str | ListOf[Part]


def content_of(texts: Sequence[str]) -> Content:
    """The content of a message with these parts."""
    return [TextPart(type="text", text=text) for text in texts] if len(texts) > 1 else "".join(texts)


class FunctionCall(Frozen):
    name: str = Field(min_length=1)
    arguments: str


class ToolCall(Frozen):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


def function_call(call_id: str, name: str, arguments: str) -> ToolCall:
    return ToolCall(id=call_id, type="function", function=FunctionCall(name=name, arguments=arguments))


def _told(role: str | list[str], field: str, allowed: dict[str, Any]) -> dict[str, Any]:
    """In JSON Schema: a message of the role has the field."""
    roles = {"enum": role} if isinstance(role, list) else {"const": role}
    return {
        "if": {"properties": {"role": roles}, "required": ["role"]},
        "then": {"properties": {field: allowed}, "required": [field]},
    }


class Message(Frozen):
    # What _fields_fit_the_role says.
    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                _told("tool", "tool_call_id", {"type": "string"}),
                _told(["system", "developer", "user"], "content", {"type": ["string", "array"]}),
            ]
        }
    )

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    name: str | None = None
    tool_calls: ListOf[ToolCall] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None

    audio: Unsupported = None
    function_call: Unsupported = None
    # An answer's own, on its way back: nothing to a model that does not reason or search.
    annotations: Hint = None
    reasoning: Hint = None
    reasoning_content: Hint = None

    @model_validator(mode="after")
    def _fields_fit_the_role(self) -> "Message":
        if self.content is None and self.role not in ("assistant", "tool"):
            raise field_error("content", "must be a string or a list of text parts")
        if self.role == "tool" and self.tool_call_id is None:
            raise field_error("tool_call_id", "is required with the role tool")
        if self.tool_calls and self.role != "assistant":
            raise field_error("tool_calls", "is only allowed with the role assistant")
        return self


def check_results(steps: Iterable[tuple[str, Iterable[str], str | None]]) -> None:
    """A result belongs to a call before it; raises PydanticCustomError that names the result's field.

    Each step has that field, the ids of the calls that are made, and the id of the call that is answered.
    """
    made: set[str] = set()
    for param, calls, answered in steps:
        made.update(calls)
        if answered is not None and answered not in made:
            raise field_error(param, f"no call before has the id {answered[:64]!r}")


def check_arguments(messages: Sequence[Message]) -> None:
    """Arguments of a call are the text of a JSON object; raises PydanticCustomError that names the call."""
    num_chars = weight = 0
    for param, text in _arguments(messages):
        num_chars += len(text)
        if num_chars > MAX_ARGUMENTS_CHARS:
            raise field_error(param, f"must be of {MAX_ARGUMENTS_CHARS:,} characters at most, in all calls")
        weight += json_weight(text.encode())
        if weight > MAX_WEIGHT:
            raise field_error(param, "must hold fewer values, in all calls")
        if complaint := _complaint(text):
            raise field_error(param, complaint)


def _arguments(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    for index, message in enumerate(messages):
        for number, call in enumerate(message.tool_calls or []):
            yield f"messages[{index}].tool_calls[{number}].function.arguments", call.function.arguments


def _complaint(text: str) -> str | None:
    # Some clients write a call without arguments as an empty text.
    try:
        arguments = from_json(text or "{}", allow_inf_nan=False)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return "must be the text of a JSON object"
    if json_depth(arguments) > MAX_ARGUMENTS_DEPTH:
        return f"must not be nested deeper than {MAX_ARGUMENTS_DEPTH} levels"
    return None
