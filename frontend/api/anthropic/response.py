"""Deltas of a chat -> Anthropic's message object and its events."""

import uuid
from typing import Any, Literal

from frontend.api.anthropic.blocks import ContentBlocks, Event
from frontend.api.anthropic.request import AnthropicRequest
from frontend.api.chat.delta import ChatDelta, ChatReader
from frontend.api.chat.request import ChatRequest
from frontend.api.sse import named_event
from frontend.errors import ApiError, to_anthropic_body
from frontend.generation.delta import Delta

StopReason = Literal["end_turn", "max_tokens", "model_context_window_exceeded", "stop_sequence", "tool_use"]
# Required by the API's description, and about what is not offered here.
_UNUSED_COUNTS = ("cache_creation", "inference_geo", "output_tokens_details", "server_tool_use")


class AnthropicResponse:
    """One answer to a request of the Messages API, whole or as events."""

    def __init__(self, request: AnthropicRequest, chat: ChatRequest) -> None:
        self._request = request
        self._reader = ChatReader(chat)
        self._id = f"msg_{uuid.uuid4().hex}"
        self._blocks = ContentBlocks()
        self._is_started = False
        self._end = _end(None, None)
        self._usage: dict[str, Any] = {}

    def add(self, delta: Delta) -> None:
        self._read(self._reader.read(delta))

    def events(self, delta: Delta) -> bytes:
        """The first delta brings that of the start, the last those of the end."""
        return b"".join(map(named_event, self._read(self._reader.read(delta))))

    def end(self) -> bytes:
        return b""

    def failed(self, error: ApiError) -> bytes:
        return named_event(to_anthropic_body(error))

    def _read(self, delta: ChatDelta) -> list[Event]:
        self._usage = _usage(delta)
        events = [] if self._is_started else self._start()
        for part in delta.parts:
            events += self._blocks.say(part) if isinstance(part, str) else self._blocks.call(part)
        if delta.finish_reason is not None:
            events += self._finish(delta)
        return events

    def whole(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._request.model,
            "content": self._blocks.whole(),
            **self._end,
            "usage": self._usage,
        }

    def _start(self) -> list[Event]:
        self._is_started = True
        return [{"type": "message_start", "message": self.whole()}]

    def _finish(self, delta: ChatDelta) -> list[Event]:
        events = self._blocks.close()
        self._end = _end(self._stop_reason(delta), delta.stop_reason)
        end = {"type": "message_delta", "delta": self._end, "usage": self._usage}
        return [*events, end, {"type": "message_stop"}]

    def _stop_reason(self, delta: ChatDelta) -> StopReason:
        if delta.finish_reason == "length":
            is_at_limit = delta.num_completion_tokens >= self._request.max_tokens
            return "max_tokens" if is_at_limit else "model_context_window_exceeded"
        if delta.stop_reason is not None:
            return "stop_sequence"
        return "tool_use" if self._blocks.has_call else "end_turn"


def _usage(delta: ChatDelta) -> dict[str, Any]:
    num_cached = delta.num_cached_tokens or 0
    return {
        # The whole prompt is the sum of the three.
        "input_tokens": delta.num_prompt_tokens - num_cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": num_cached,
        "output_tokens": delta.num_completion_tokens,
        "service_tier": "standard",
        **dict.fromkeys(_UNUSED_COUNTS),
    }


def _end(stop_reason: StopReason | None, stop_sequence: str | int | None) -> dict[str, Any]:
    return {
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "stop_details": None,
        "container": None,
    }
