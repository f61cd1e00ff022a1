"""Turns of Anthropic's Messages API -> chat messages."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import Field, Tag
from pydantic_core import to_json

from frontend.api.chat.translation import Words, chat_content, function_call
from frontend.api.fields import Frozen, ListOf, Unsupported, told_apart_by

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
    citations: Unsupported = None


Text = str | ListOf[TextBlock]


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


class ToolResultBlock(Frozen):
    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1)
    content: Text | None = None
    is_error: bool = False
    cache_control: CacheControl | None = None


UserBlock = Annotated[
    Annotated[TextBlock, Tag("type text")] | Annotated[ToolResultBlock, Tag("type tool_result")],
    told_apart_by("type", "text", "tool_result"),
]
AssistantBlock = Annotated[
    Annotated[TextBlock, Tag("type text")] | Annotated[ToolUseBlock, Tag("type tool_use")],
    told_apart_by("type", "text", "tool_use"),
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
_Block = TextBlock | ToolUseBlock | ToolResultBlock


def chat_messages(system: Text | None, turns: Sequence[Turn]) -> list[Words]:
    """Turns of one role in a row are one turn, as the API defines it."""
    messages = [] if system is None else [_message("system", _blocks(system))]
    for role, group in groupby(turns, key=lambda turn: turn.role):
        blocks = [block for turn in group for block in _blocks(turn.content)]
        messages.extend(_user_messages(blocks) if role == "user" else [_message(role, blocks)])
    return messages


def _user_messages(blocks: Iterable[_Block]) -> Iterator[Words]:
    """Each tool result is a message of its own; the order is kept."""
    for is_result, group in groupby(blocks, key=lambda block: isinstance(block, ToolResultBlock)):
        if is_result:
            yield from (_tool_message(block) for block in group if isinstance(block, ToolResultBlock))
        else:
            yield _message("user", list(group))


def _message(role: str, blocks: Sequence[_Block]) -> Words:
    calls = [
        function_call(block.id, block.name, to_json(block.input).decode())
        for block in blocks
        if isinstance(block, ToolUseBlock)
    ]
    texts = [block.text for block in blocks if isinstance(block, TextBlock)]
    if not calls:
        return {"role": role, "content": chat_content(texts)}
    return {"role": role, "content": chat_content(texts) if texts else None, "tool_calls": calls}


def _tool_message(result: ToolResultBlock) -> Words:
    texts = [block.text for block in _blocks(result.content or "") if isinstance(block, TextBlock)]
    content = chat_content([FAILED_TOOL_PREFIX, *texts] if result.is_error else texts)
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": content}


def _blocks(content: str | Sequence[_Block]) -> Sequence[_Block]:
    return [TextBlock(type="text", text=content)] if isinstance(content, str) else content
