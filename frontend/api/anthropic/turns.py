"""Turns of Anthropic's Messages API -> chat messages."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import Field, Tag
from pydantic_core import to_json

from frontend.api.chat.messages import TEXT_ONLY, Message, ToolCall, content_of, function_call
from frontend.api.fields import Frozen, Hint, ListOf, Off, told_apart_by

# A chat's tool message has no field for it.
FAILED_TOOL_PREFIX = "Error: "


class CacheControl(Frozen):
    """Where a cached prefix should end; accepted, as the engine caches every prefix anyway."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(Frozen):
    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None
    # As they came with another answer, or an offer to cite, which a model may do without.
    citations: Hint = None


Text = str | ListOf[TextBlock]


class ToolReference(Frozen):
    """What a search for tools found: one of those that the model was told of from the start."""

    type: Literal["tool_reference"]
    tool_name: str
    cache_control: CacheControl | None = None

    @property
    def text(self) -> str:
        return self.tool_name


ResultPart = Annotated[
    Annotated[TextBlock, Tag("type text")] | Annotated[ToolReference, Tag("type tool_reference")],
    told_apart_by("type", "text", "tool_reference", note=TEXT_ONLY),
]


class ThinkingBlock(Frozen):
    """What another model thought; nothing to one that does not reason."""

    type: Literal["thinking", "redacted_thinking"]
    thinking: Hint = None
    signature: Hint = None
    data: Hint = None


class DirectCaller(Frozen):
    """The model itself, as opposed to code that it wrote."""

    type: Literal["direct"]


class ToolUseBlock(Frozen):
    type: Literal["tool_use"]
    id: str = Field(min_length=1)
    name: str = Field(min_length=1)
    input: dict[str, Any]
    cache_control: CacheControl | None = None
    caller: DirectCaller | None = None
    toolset_name: Hint = None


class ToolResultBlock(Frozen):
    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1)
    content: str | ListOf[ResultPart] | None = None
    is_error: Off = False
    cache_control: CacheControl | None = None
    toolset_name: Hint = None


UserBlock = Annotated[
    Annotated[TextBlock, Tag("type text")] | Annotated[ToolResultBlock, Tag("type tool_result")],
    told_apart_by("type", "text", "tool_result", note=TEXT_ONLY),
]
AssistantBlock = Annotated[
    Annotated[TextBlock, Tag("type text")]
    | Annotated[ToolUseBlock, Tag("type tool_use")]
    | Annotated[ThinkingBlock, Tag("type thinking")]
    | Annotated[ThinkingBlock, Tag("type redacted_thinking")],
    told_apart_by("type", "text", "tool_use", "thinking", "redacted_thinking", note=TEXT_ONLY),
]


class SystemTurn(Frozen):
    role: Literal["system"]
    content: Text


class UserTurn(Frozen):
    role: Literal["user"]
    content: str | Annotated[ListOf[UserBlock], Field(min_length=1)]


class AssistantTurn(Frozen):
    role: Literal["assistant"]
    content: str | ListOf[AssistantBlock]


Turn = Annotated[
    Annotated[SystemTurn, Tag("role system")]
    | Annotated[UserTurn, Tag("role user")]
    | Annotated[AssistantTurn, Tag("role assistant")],
    told_apart_by("role", "user", "assistant", "system"),
]
# A content that is a string is one text.
_Block = str | TextBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock
_Role = Literal["system", "user", "assistant"]


def chat_messages(system: Text | None, turns: Sequence[Turn]) -> list[Message]:
    """Turns of one role in a row are one turn, as the API defines it."""
    messages = [] if system is None else [Message(role="system", content=content_of(_texts(system)))]
    for role, group in groupby(turns, key=attrgetter("role")):
        messages += _messages(role, [block for turn in group for block in _blocks(turn.content)])
    return messages


def _messages(role: _Role, blocks: Iterable[_Block]) -> Iterator[Message]:
    """Each tool result is a message of its own; the order is kept."""
    texts: list[str] = []
    calls: list[ToolCall] = []
    for block in blocks:
        if isinstance(block, str):
            texts.append(block)
        elif block.type == "text":
            texts.append(block.text)
        elif block.type == "tool_use":
            calls.append(function_call(block.id, block.name, to_json(block.input).decode()))
        elif block.type == "tool_result":
            if texts:
                yield Message(role=role, content=content_of(texts))
                texts = []
            yield _tool_message(block)
    if texts or role != "user":
        content = None if calls and not texts else content_of(texts)
        yield Message(role=role, content=content, tool_calls=calls or None)


def _tool_message(result: ToolResultBlock) -> Message:
    texts = [*([FAILED_TOOL_PREFIX] if result.is_error else []), *_texts(result.content or "")]
    return Message(role="tool", content=content_of(texts), tool_call_id=result.tool_use_id)


def _texts(content: str | Sequence[TextBlock | ToolReference]) -> list[str]:
    return [content] if isinstance(content, str) else [block.text for block in content]


def _blocks(content: str | Sequence[_Block]) -> Sequence[_Block]:
    return [content] if isinstance(content, str) else content
