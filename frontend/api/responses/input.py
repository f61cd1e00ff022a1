"""Items of the Responses API's input -> chat messages."""

from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from frontend.api.chat.messages import Message, ToolCall, content_of, function_call
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


def chat_messages(instructions: str | None, turns: Input) -> list[Message]:
    messages = [] if instructions is None else [Message(role="system", content=instructions)]
    items = [InputMessage(role="user", content=turns)] if isinstance(turns, str) else turns
    for _, group in groupby(items, key=lambda item: item.type == "function_call"):
        calls: list[ToolCall] = []
        for item in group:
            if item.type == "function_call":
                calls.append(function_call(item.call_id, item.name, item.arguments))
            else:
                messages.append(_message(item))
        if calls:
            messages.append(_calling(messages, calls))
    return messages


def _message(item: InputMessage | InputFunctionCallOutput) -> Message:
    if item.type == "function_call_output":
        return Message(role="tool", content=content_of(_texts(item.output)), tool_call_id=item.call_id)
    return Message(role=item.role, content=content_of(_texts(item.content)))


def _texts(content: Content) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part.refusal if part.type == "refusal" else part.text for part in content]


def _calling(messages: list[Message], calls: list[ToolCall]) -> Message:
    """Calls belong to the turn in which the assistant made them, as in a chat's history: it is taken out."""
    said = messages.pop().content if messages and messages[-1].role == "assistant" else None
    return Message(role="assistant", content=said, tool_calls=calls)
