"""Deltas -> chat.completion objects, whole or in chunks; keys and their order are the Lambda Chat API's."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from frontend.api.chat.delta import ChatDelta, ChatReader
from frontend.api.chat.request import ChatRequest
from frontend.api.chat.tool_calls import ToolCallDelta
from frontend.api.logprobs import token_logprob
from frontend.api.sse import DONE_EVENT, TextEvents, data_event
from frontend.errors import ApiError, to_event
from frontend.generation.delta import Delta, Token, usage


class ChatResponse:
    """One answer to a chat request, whole or in chunks."""

    def __init__(self, chat: ChatRequest) -> None:
        self._chat = chat
        self._reader = ChatReader(chat)
        self._read: list[ChatDelta] = []
        self._last: dict[int, Delta] = {}
        self._id = f"chat-{uuid.uuid4().hex}"
        self._created = int(time.time())
        # Of choices that have begun.
        self._text_events: dict[int, TextEvents] = {}
        self._says_text_alone = not (chat.callable_tools or chat.wants_logprobs or chat.wants_usage_in_chunks)

    def add(self, delta: Delta) -> None:
        self._last[delta.index] = delta
        self._read.append(self._reader.read(delta))

    def whole(self) -> dict[str, Any]:
        choices = [
            self._choice([delta for delta in self._read if delta.index == index], index)
            for index in range(self._chat.num_choices)
        ]
        return self._envelope("chat.completion", choices) | {"usage": self._usage()}

    def events(self, delta: Delta) -> bytes:
        """The role once, then text and tool calls, then the end."""
        self._last[delta.index] = delta
        text_events = self._text_events.get(delta.index)
        if self._says_text_alone and text_events and delta.finish_reason is None:
            return text_events.event(delta.text) if delta.text else b""
        return b"".join(map(data_event, self._chunks(self._reader.read(delta))))

    def end(self) -> bytes:
        if not self._chat.wants_usage_chunk:
            return DONE_EVENT
        return data_event(self._envelope("chat.completion.chunk", []) | {"usage": self._usage()}) + DONE_EVENT

    def failed(self, error: ApiError) -> bytes:
        return to_event(error)

    def _usage(self, unsaid: int | None = None) -> dict[str, Any]:
        """`unsaid`: a choice of which nothing is told yet."""
        last = [
            replace(delta, num_completion_tokens=0) if delta.index == unsaid else delta
            for delta in self._last.values()
        ]
        return usage(last, self._chat.num_choices)

    def _chunks(self, delta: ChatDelta) -> list[dict[str, Any]]:
        chunks, index = [], delta.index
        if index not in self._text_events:
            self._text_events[index] = TextEvents(lambda text: self._chunk(index, {"content": text}))
            chunks.append(self._opening(delta))
        if delta.text or (delta.tokens and not delta.tool_calls):
            chunks.append(self._chunk(delta.index, {"content": delta.text}, self._logprobs(delta.tokens)))
        if delta.tool_calls:
            logprobs = None if delta.text else self._logprobs(delta.tokens)
            calls = [_tool_call_piece(call) for call in delta.tool_calls]
            chunks.append(self._chunk(delta.index, {"tool_calls": calls}, logprobs))
        if delta.finish_reason is not None:
            chunks.append(self._chunk(delta.index, {}, None, delta))
        return chunks

    def _opening(self, delta: ChatDelta) -> dict[str, Any]:
        """Where a call may follow, content is null as OpenAI has it: an empty text is one to some clients."""
        content = None if self._chat.callable_tools and not delta.text else ""
        chunk = self._chunk(delta.index, {"role": "assistant", "content": content})
        if self._chat.wants_usage_in_chunks:
            chunk["usage"] = self._usage(unsaid=delta.index)
        return chunk

    def _choice(self, deltas: Sequence[ChatDelta], index: int) -> dict[str, Any]:
        text = "".join(delta.text for delta in deltas)
        calls = _tool_calls([call for delta in deltas for call in delta.tool_calls])
        content = None if not text and (calls or self._chat.must_call_tool) else text
        return {
            "index": index,
            "message": {"role": "assistant", "content": content, "refusal": None, "tool_calls": calls},
            "logprobs": self._logprobs([token for delta in deltas for token in delta.tokens]),
            "finish_reason": deltas[-1].finish_reason,
            "stop_reason": deltas[-1].stop_reason,
        }

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: dict[str, Any] | None = None,
        end: ChatDelta | None = None,
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
        if end is not None:
            choice |= {"finish_reason": end.finish_reason, "stop_reason": end.stop_reason}
        chunk = self._envelope("chat.completion.chunk", [choice])
        if self._chat.wants_usage_in_chunks:
            chunk["usage"] = self._usage()
        elif self._chat.wants_usage_chunk:
            chunk["usage"] = None
        return chunk

    def _envelope(self, object_name: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": object_name,
            "created": self._created,
            "model": self._chat.model,
            "choices": choices,
            # Only of those who ask for one; there is no other.
            **({"service_tier": "default"} if self._chat.service_tier else {}),
        }

    def _logprobs(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self._chat.wants_logprobs:
            return None
        return {"content": [token_logprob(token) for token in tokens], "refusal": None}


def _tool_calls(pieces: Sequence[ToolCallDelta]) -> list[dict[str, Any]]:
    return [_tool_call(list(call)) for _, call in groupby(pieces, lambda piece: piece.index)]


def _tool_call(pieces: Sequence[ToolCallDelta]) -> dict[str, Any]:
    arguments = "".join(piece.arguments for piece in pieces)
    return {
        "id": pieces[0].id,
        "type": "function",
        "function": {"name": pieces[0].name, "arguments": arguments},
    }


def _tool_call_piece(piece: ToolCallDelta) -> dict[str, Any]:
    """As OpenAI's SDK adds them up: what comes once is left out later."""
    if piece.id is None:
        return {"index": piece.index, "function": {"arguments": piece.arguments}}
    return {"index": piece.index, **_tool_call([piece])}
