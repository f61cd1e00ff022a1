"""Bodies that are as much work for the frontend as its limits let them be, and large honest ones."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from frontend.api.body import ELEMENTS_PER_UNIT, MAX_WEIGHT

# What just passes the limits, with what surrounds it.
_MEMBERS = MAX_WEIGHT * 7 // 8
_ELEMENTS = MAX_WEIGHT * ELEMENTS_PER_UNIT * 3 // 4
_MEBIBYTE = 2**20
_CHAT, _COMPLETION = "/v1/chat/completions", "/v1/completions"
_MESSAGES, _RESPONSES = "/v1/messages", "/v1/responses"


@dataclass(frozen=True)
class HeavyBody:
    """The JSON body of a POST to the path."""

    name: str
    path: str
    content: bytes


def heavy_bodies(model: str) -> list[HeavyBody]:
    """Made for the frontend's default settings."""
    return [HeavyBody(name, path, make(model)) for name, (path, make) in _BODIES.items()]


def _chat(**fields: Any) -> Callable[[str], bytes]:
    messages = [{"role": "user", "content": "hi"}]
    return _json(**{"messages": messages, "max_tokens": 1, **fields})


def _json(**fields: Any) -> Callable[[str], bytes]:
    return lambda model: json.dumps({"model": model, **fields}, separators=(",", ":")).encode()


def _messages(content: object, count: int) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}] * count


def _call(arguments: str) -> list[dict[str, object]]:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [{"role": "assistant", "tool_calls": [call]}]


_NESTED = b"[" * 99 + b"]" * 99
_PART = {"type": "text", "text": "a"}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": [1] * _ELEMENTS}}}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"enum": [1] * _ELEMENTS}}}
_BODIES: Mapping[str, tuple[str, Callable[[str], bytes]]] = {
    "text of 15 MiB": (_COMPLETION, _json(prompt="word " * (3 * _MEBIBYTE), max_tokens=1)),
    "escaped quotes of 15 MiB": (_COMPLETION, _json(prompt='":' * (5 * _MEBIBYTE), max_tokens=1)),
    "nested lists of 16 MB": (_CHAT, lambda _: b'{"a":[' + b",".join([_NESTED] * 80_000) + b"]}"),
    "wrong list elements": (_CHAT, _chat(stop=[1] * _ELEMENTS)),
    "strings in an unknown field": (_CHAT, _chat(unknown=["ab"] * (_ELEMENTS * 5 // 6))),
    "members in an unknown field": (_CHAT, _chat(unknown={f"k{index}": 1 for index in range(_MEMBERS)})),
    "wrong members": (_CHAT, _chat(logit_bias={f"k{index}": 1 for index in range(_MEMBERS)})),
    "prompt ids": (_COMPLETION, _json(prompt=[1] * _ELEMENTS, max_tokens=1)),
    "lists of prompt ids": (_COMPLETION, _json(prompt=[[1] * 4096] * 64, max_tokens=1)),
    "a chat of 10,000 messages": (_CHAT, _chat(messages=_messages("hello", 10_000))),
    "a message of 10,000 parts": (_CHAT, _chat(messages=_messages([_PART] * 10_000, 1))),
    "arguments of a call": (_CHAT, _chat(messages=_call(json.dumps({"a": [[]] * (_MEMBERS)})))),
    "a schema": (_CHAT, _chat(response_format=_SCHEMA)),
    "a tool": (_CHAT, _chat(tools=[_TOOL])),
    "Anthropic's, 10,000 messages": (_MESSAGES, _json(messages=_messages("hello", 10_000), max_tokens=1)),
    "Anthropic's, 9,000 blocks": (_MESSAGES, _json(messages=_messages([_PART] * 9000, 1), max_tokens=1)),
    "Responses', 10,000 items": (_RESPONSES, _json(input=_messages("hello", 10_000))),
}
