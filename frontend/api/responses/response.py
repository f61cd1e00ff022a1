"""Deltas of a chat -> OpenAI's response object and its events, the last of which holds that object."""

import itertools
import time
import uuid
from typing import Any, Literal

from frontend.api.chat.delta import ChatDelta, ChatReader
from frontend.api.chat.request import ChatRequest
from frontend.api.responses.items import Event, OutputItems
from frontend.api.responses.request import Namespace, ResponsesRequest, ResponsesTool, TextConfig
from frontend.api.sse import named_event
from frontend.errors import ApiError, EngineOverloaded, InvalidRequest
from frontend.generation.delta import Delta, Token

# Those of the response object's fields that no request can change.
_CONSTANTS = {
    "background": False,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": False,
    "truncation": "disabled",
}
_TOOL_FIELDS = {"type", "name", "description", "parameters", "strict"}


class ResponsesResponse:
    """One answer to a request of the Responses API, whole or as events."""

    def __init__(self, request: ResponsesRequest, chat: ChatRequest) -> None:
        self._request = request
        self._reader = ChatReader(chat)
        self._id = f"resp_{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._completed: int | None = None
        self._sequence_numbers = itertools.count()
        self._status: Literal["queued", "in_progress", "completed", "incomplete", "failed"] = "queued"
        self._items = OutputItems(request.namespaces)
        self._unsaid: list[Token] = []
        self._error: dict[str, Any] | None = None
        self._usage: dict[str, Any] | None = None

    def add(self, delta: Delta) -> None:
        self._read(self._reader.read(delta))

    def events(self, delta: Delta) -> bytes:
        """The first delta brings those of the start, the last those of the end."""
        return b"".join(map(named_event, self._read(self._reader.read(delta))))

    def end(self) -> bytes:
        return b""

    def failed(self, error: ApiError) -> bytes:
        self._status = "failed"
        self._error = {"code": _error_code(error), "message": error.message}
        return b"".join(map(named_event, self._numbered([self._state_event("failed")])))

    def _read(self, delta: ChatDelta) -> list[Event]:
        events = self._start() if self._status == "queued" else []
        self._unsaid += delta.tokens
        for part in delta.parts:
            # Tokens are told with the text that they end up in; those of a call are not.
            tokens, self._unsaid = self._unsaid, []
            events += self._items.say(part, tokens) if isinstance(part, str) else self._items.call(part)
        if delta.finish_reason is not None:
            events += self._finish(delta)
        return self._numbered(events)

    def whole(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": self._completed,
            "status": self._status,
            "error": self._error,
            "incomplete_details": {"reason": "max_output_tokens"} if self._status == "incomplete" else None,
            "output": list(self._items.closed),
            "usage": self._usage,
            **_request_fields(self._request),
            **_CONSTANTS,
        }

    def _start(self) -> list[Event]:
        self._status = "in_progress"
        return [self._state_event("created"), self._state_event("in_progress")]

    def _finish(self, delta: ChatDelta) -> list[Event]:
        status: Literal["completed", "incomplete"] = (
            "incomplete" if delta.finish_reason == "length" else "completed"
        )
        events = self._items.close(status)
        if not self._items.closed:
            # A client may count on at least one item.
            events = [*self._items.say("", []), *self._items.close(status)]
        self._status = status
        self._completed = int(time.time()) if status == "completed" else None
        self._usage = _usage(delta)
        return [*events, self._state_event(status)]

    def _state_event(self, name: str) -> Event:
        return {"type": f"response.{name}", "response": self.whole()}

    def _numbered(self, events: list[Event]) -> list[Event]:
        return [event | {"sequence_number": next(self._sequence_numbers)} for event in events]


def _request_fields(request: ResponsesRequest) -> dict[str, Any]:
    """What the object repeats of the request, with the defaults that were used."""
    choice = request.model_dump(include={"tool_choice"})["tool_choice"]
    return {
        "model": request.model,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata or {},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "presence_penalty": request.presence_penalty or 0.0,
        "frequency_penalty": request.frequency_penalty or 0.0,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {"format": _format(request.text or TextConfig())},
        "tool_choice": choice or "auto",
        "tools": [_tool(tool) for tool in request.tools or []],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
        **request.model_dump(include={"user"}, exclude_none=True),
    }


def _format(text: TextConfig) -> dict[str, Any]:
    """A description of a schema is there in any case, as Open Responses has it."""
    told = text.format.model_dump(by_alias=True, exclude_none=True)
    return {"description": None, "strict": True, **told} if told["type"] == "json_schema" else told


def _tool(tool: ResponsesTool) -> dict[str, Any]:
    if isinstance(tool, Namespace):
        return tool.model_dump(include={"type", "name", "description"}) | {
            "tools": [_tool(inner) for inner in tool.tools]
        }
    return tool.model_dump(include=_TOOL_FIELDS)


def _usage(delta: ChatDelta) -> dict[str, Any]:
    return {
        "input_tokens": delta.num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": delta.num_cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": delta.num_completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": delta.num_prompt_tokens + delta.num_completion_tokens,
    }


def _error_code(error: ApiError) -> str:
    """The nearest of the codes that OpenAI's OpenAPI description allows here."""
    if isinstance(error, EngineOverloaded):
        return "rate_limit_exceeded"
    return "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"
