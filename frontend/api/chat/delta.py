"""Deltas of a generation -> deltas of a chat answer: what is said and which tools are called."""

import re
from dataclasses import dataclass
from typing import Literal

from frontend.api.chat.request import ChatRequest
from frontend.api.chat.tool_calls import ToolCallDelta, ToolCallParser, first_delta
from frontend.generation.delta import Delta, Token

ChatFinishReason = Literal["stop", "length", "tool_calls"]

# How a forced call begins.
_NAMED_CALL = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"]+)"')


@dataclass(slots=True)
class ChatDelta:
    """What one response of the engine adds to a choice; counts are those of the whole generation so far."""

    index: int
    parts: tuple[str | ToolCallDelta, ...]
    """What is said and called, in order; no text is empty."""
    tokens: tuple[Token, ...]
    num_prompt_tokens: int
    num_completion_tokens: int
    num_cached_tokens: int | None
    finish_reason: ChatFinishReason | None
    stop_reason: str | int | None

    @property
    def text(self) -> str:
        return "".join([part for part in self.parts if isinstance(part, str)])

    @property
    def tool_calls(self) -> tuple[ToolCallDelta, ...]:
        return tuple([part for part in self.parts if isinstance(part, ToolCallDelta)])


class ChatReader:
    """Reads the deltas of one request, all of its choices, each choice's in order."""

    def __init__(self, chat: ChatRequest) -> None:
        self._chat = chat
        self._tool_names = [tool.name for tool in chat.callable_tools]
        self._parsers: dict[int, ToolCallParser] = {}
        self._calling: set[int] = set()
        """Choices that have called a tool."""
        self._beginnings: dict[int, str] = {}
        """Of choices that must call a tool, and have not yet."""

    def read(self, delta: Delta) -> ChatDelta:
        return ChatDelta(
            index=delta.index,
            parts=self._parse(delta),
            tokens=delta.tokens,
            num_prompt_tokens=delta.num_prompt_tokens,
            num_completion_tokens=delta.num_completion_tokens,
            num_cached_tokens=delta.num_cached_tokens,
            finish_reason=self._finish_reason(delta),
            stop_reason=delta.stop_reason,
        )

    def _parse(self, delta: Delta) -> tuple[str | ToolCallDelta, ...]:
        if not self._tool_names:
            return (delta.text,) if delta.text else ()
        if delta.index not in self._parsers:
            self._parsers[delta.index] = ToolCallParser(self._tool_names)
        parser, is_last = self._parsers[delta.index], delta.finish_reason is not None
        results = parser.feed(delta.text)
        if is_last:
            results += parser.flush()
        if self._chat.must_call_tool:
            results = self._forced(results, delta, is_last)
        parts = tuple(result for result in results if self._is_wanted(result))
        if any(isinstance(part, ToolCallDelta) for part in parts):
            self._calling.add(delta.index)
        return parts

    def _forced(
        self, results: list[str | ToolCallDelta], delta: Delta, is_last: bool
    ) -> list[str | ToolCallDelta]:
        """Nothing is said: what was cut before its arguments is the call's name, where that is known."""
        calls = [result for result in results if isinstance(result, ToolCallDelta)]
        if calls or delta.index in self._calling:
            return [*calls]
        beginning = self._beginnings[delta.index] = self._beginnings.get(delta.index, "") + delta.text
        if not is_last:
            return []
        named = _NAMED_CALL.match(beginning)
        names = [named[1]] if named else self._tool_names
        return [first_delta(0, names[0], "")] if len(names) == 1 else []

    def _is_wanted(self, result: str | ToolCallDelta) -> bool:
        is_single = self._chat.parallel_tool_calls is False
        return isinstance(result, str) or result.index == 0 or not is_single

    def _finish_reason(self, delta: Delta) -> ChatFinishReason | None:
        """A stop string is no natural stop; and where the client named the tool, its call is no news."""
        is_natural = delta.finish_reason == "stop" and delta.stop_reason is None
        if is_natural and delta.index in self._calling and not self._chat.is_tool_named:
            return "tool_calls"
        return delta.finish_reason
