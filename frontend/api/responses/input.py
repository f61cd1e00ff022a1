"""Items of the Responses API's input -> chat messages."""

from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from frontend.api.chat.translation import Words, chat_content, function_call
from frontend.api.fields import Frozen, ListOf, Unsupported, told_apart_by


class TextPart(Frozen):
    type: Literal["input_text", "output_text"]
    text: str
    # As they came with the answer; they say nothing to the model.
    logprobs: ListOf[dict[str, Any]] | None = None

    annotations: Unsupported = None


class RefusalPart(Frozen):
    type: Literal["refusal"]
    refusal: str


Part = Annotated[
    Annotated[TextPart, Tag("type input_text")]
    | Annotated[TextPart, Tag("type output_text")]
    | Annotated[RefusalPart, Tag("type refusal")],
    told_apart_by("type", "input_text", "output_text", "refusal"),
]
Content = str | Annotated[ListOf[Part], Field(min_length=1)]


class _Item(Frozen):
    """What an item of an answer has that comes back as input; it says nothing to the model."""

    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class InputMessage(_Item):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content

    phase: Unsupported = None


class InputFunctionCall(_Item):
    type: Literal["function_call"]
    call_id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    arguments: str

    namespace: Unsupported = None


class InputFunctionCallOutput(_Item):
    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1)
    output: Content


InputItem = Annotated[
    Annotated[InputMessage, Tag("type message")]
    | Annotated[InputFunctionCall, Tag("type function_call")]
    | Annotated[InputFunctionCallOutput, Tag("type function_call_output")],
    told_apart_by("type", "message", "function_call", "function_call_output", default="message"),
]
Input = str | Annotated[ListOf[InputItem], Field(min_length=1, max_length=10_000)]


def chat_messages(instructions: str | None, turns: Input) -> list[Words]:
    messages: list[Words] = [] if instructions is None else [_message("system", instructions)]
    for item in [InputMessage(role="user", content=turns)] if isinstance(turns, str) else turns:
        if isinstance(item, InputMessage):
            messages.append(_message(item.role, item.content))
        elif isinstance(item, InputFunctionCall):
            _add_call(messages, function_call(item.call_id, item.name, item.arguments))
        else:
            messages.append(_message("tool", item.output) | {"tool_call_id": item.call_id})
    return messages


def _message(role: str, content: Content) -> Words:
    texts = [content] if isinstance(content, str) else [_text(part) for part in content]
    return {"role": role, "content": chat_content(texts)}


def _text(part: TextPart | RefusalPart) -> str:
    return part.refusal if isinstance(part, RefusalPart) else part.text


def _add_call(messages: list[Words], call: Words) -> None:
    """Calls belong to the turn in which the assistant made them, as in a chat's history."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)
