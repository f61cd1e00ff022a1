"""Deltas -> chat.completion objects, whole or in chunks; keys and their order are the Lambda Chat API's."""

import time
import uuid
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from frontend.api.chat.delta import ChatDelta, ChatReader
from frontend.api.chat.request import ChatRequest
from frontend.api.chat.tool_calls import ToolCallDelta
from frontend.api.frames import TextFrames, data_frame
from frontend.api.logprobs import token_logprob
from frontend.generation.generation import Delta, Token
from frontend.generation.usage import Usage


class ChatResponse:
    """One answer to a chat request, whole or in chunks."""

    def __init__(self, chat: ChatRequest) -> None:
        self.usage = Usage(chat.num_choices)
        self._chat = chat
        self._reader = ChatReader(chat)
        self._id = f"chat-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._started: set[int] = set()
        self._text_frames: dict[int, TextFrames] = {}

    def whole(self, deltas: Sequence[Delta]) -> dict[str, Any]:
        read = [self._reader.read(delta) for delta in deltas]
        choices = [
            self._choice([delta for delta in read if delta.index == index], index)
            for index in range(self._chat.num_choices)
        ]
        return self._envelope("chat.completion", choices) | {"usage": self.usage.to_dict()}

    def frames(self, delta: Delta) -> list[bytes]:
        """The events of one delta: the role once, then text and tool calls, then the end."""
        read = self._reader.read(delta)
        if text := self._lone_text(read):
            return [self._frames_of(read.index).frame(text)]
        return [data_frame(chunk) for chunk in self._chunks(read)]

    def _lone_text(self, delta: ChatDelta) -> str:
        """What is said, if that is all there is to tell; else empty."""
        is_first, is_last = delta.index not in self._started, delta.finish_reason is not None
        has_more = delta.tokens or delta.tool_calls or self._chat.wants_usage_in_chunks
        return "" if is_first or is_last or has_more else delta.text

    def _frames_of(self, index: int) -> TextFrames:
        if index not in self._text_frames:
            self._text_frames[index] = TextFrames(lambda text: self._chunk(index, {"content": text}))
        return self._text_frames[index]

    def _chunks(self, delta: ChatDelta) -> list[dict[str, Any]]:
        chunks = []
        if delta.index not in self._started:
            self._started.add(delta.index)
            chunks.append(self._chunk(delta.index, {"role": "assistant", "content": ""}))
        if delta.text or (delta.tokens and not delta.tool_calls):
            chunks.append(self._chunk(delta.index, {"content": delta.text}, self._logprobs(delta.tokens)))
        if delta.tool_calls:
            logprobs = None if delta.text else self._logprobs(delta.tokens)
            calls = [_tool_call_piece(call) for call in delta.tool_calls]
            chunks.append(self._chunk(delta.index, {"tool_calls": calls}, logprobs))
        if delta.finish_reason is not None:
            chunks.append(self._chunk(delta.index, {}, None, delta))
        return chunks

    def usage_chunk(self) -> dict[str, Any]:
        return self._envelope("chat.completion.chunk", []) | {"usage": self.usage.to_dict()}

    def _choice(self, deltas: Sequence[ChatDelta], index: int) -> dict[str, Any]:
        text = "".join(delta.text for delta in deltas)
        calls = _tool_calls([call for delta in deltas for call in delta.tool_calls])
        content = text if text or not calls else None
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
            chunk["usage"] = self.usage.to_dict()
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
