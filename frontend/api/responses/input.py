"""Items of the Responses API's input -> chat messages."""

from itertools import groupby
from typing import Annotated, Literal

from pydantic import Field, Tag

from frontend.api.chat.messages import TEXT_ONLY, Message, ToolCall, content_of, function_call
from frontend.api.fields import Frozen, Hint, ListOf, Stored, told_apart_by


class TextPart(Frozen):
    type: Literal["input_text", "output_text", "text"]
    text: str
    # As they came with the answer; they say nothing to the model.
    logprobs: Hint = None
    annotations: Hint = None
    prompt_cache_breakpoint: Hint = None


class RefusalPart(Frozen):
    type: Literal["refusal"]
    refusal: str


Part = Annotated[
    Annotated[TextPart, Tag("type input_text")]
    | Annotated[TextPart, Tag("type output_text")]
    | Annotated[TextPart, Tag("type text")]
    | Annotated[RefusalPart, Tag("type refusal")],
    told_apart_by("type", "input_text", "output_text", "refusal", note=TEXT_ONLY),
]
Content = str | ListOf[Part]


class _Item(Frozen):
    """What an item of an answer has that comes back as input; it says nothing to the model."""

    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class InputMessage(_Item):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content

    phase: Hint = None


class InputFunctionCall(_Item):
    type: Literal["function_call"]
    call_id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    arguments: str

    # The functions of all namespaces have names of their own.
    namespace: Hint = None
    caller: Hint = None


class InputFunctionCallOutput(_Item):
    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1)
    output: Content

    caller: Hint = None
    name: Hint = None


class InputReference(Frozen):
    type: Literal["item_reference"]
    id: Stored


class InputReasoning(_Item):
    """What another model thought; nothing to one that does not reason."""

    type: Literal["reasoning"]
    summary: Hint = None
    content: Hint = None
    encrypted_content: Hint = None


InputItem = Annotated[
    Annotated[InputMessage, Tag("type message")]
    | Annotated[InputFunctionCall, Tag("type function_call")]
    | Annotated[InputFunctionCallOutput, Tag("type function_call_output")]
    | Annotated[InputReasoning, Tag("type reasoning")]
    | Annotated[InputReference, Tag("type item_reference")],
    told_apart_by("type", "message", "function_call", "function_call_output", "reasoning", default="message"),
]
Input = str | Annotated[ListOf[InputItem], Field(min_length=1, max_length=10_000)]


def chat_messages(instructions: str | None, turns: Input) -> list[Message]:
    messages = [] if instructions is None else [Message(role="system", content=instructions)]
    given = [InputMessage(role="user", content=turns)] if isinstance(turns, str) else turns
    items = [item for item in given if not isinstance(item, InputReasoning | InputReference)]
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
