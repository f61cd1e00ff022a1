"""How long one client's heavy request holds up the others: the time of a liveness probe beside it."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from frontend.api.body import ELEMENTS_PER_UNIT, MAX_WEIGHT
from scripts.bench.stack import HOST, served

NUM_ALONE = 5
NUM_TOGETHER = 8
# The first tells how noisy the machine is.
QUIET_S = 2.0
PROBE_PAUSE_S = 0.002
TIMEOUT_S = 120
# What just passes the limits, with what surrounds it.
_MEMBERS = MAX_WEIGHT * 7 // 8
_ELEMENTS = MAX_WEIGHT * ELEMENTS_PER_UNIT * 3 // 4
_MEBIBYTE = 2**20
_CHAT, _COMPLETION = "/v1/chat/completions", "/v1/completions"
_MESSAGES, _RESPONSES = "/v1/messages", "/v1/responses"

HEADING = (
    "Longest answer of /health/live in ms while bodies come that are heavy work\n"
    "body                             MB  answer   one by one   8 at once"
)


@dataclass(frozen=True)
class HeavyBody:
    """The JSON body of a POST to the path."""

    name: str
    path: str
    content: bytes


@dataclass(frozen=True)
class Lag:
    """The longest answers of the probe, in milliseconds."""

    name: str
    megabytes: float
    status: int
    """Of the answer to the body; 0 where none was sent."""
    alone: float
    """While the bodies came one after the other."""
    together: float
    """While so many came at once."""


def measure_lag() -> Iterator[Lag]:
    """A row without a body first, then one for each heavy body, on the replay engine."""
    with served(ENGINE="replay") as stack:
        with _Probe(stack.port) as probe:
            time.sleep(QUIET_S)
        yield Lag("none", 0, 0, probe.longest_ms, probe.longest_ms)
        for body in heavy_bodies(stack.model):
            yield _lag(stack.port, body)


def _lag(port: int, body: HeavyBody) -> Lag:
    with _Probe(port) as alone:
        statuses = {_status(port, body) for _ in range(NUM_ALONE)}
    with _Probe(port) as together:
        senders = [threading.Thread(target=_status, args=(port, body)) for _ in range(NUM_TOGETHER)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    megabytes = len(body.content) / 1e6
    return Lag(body.name, megabytes, max(statuses), alone.longest_ms, together.longest_ms)


def _status(port: int, body: HeavyBody) -> int:
    with closing(http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)) as connection:
        connection.request("POST", body.path, body.content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status


class _Probe:
    """Asks for liveness again and again, in a thread of its own and on one connection."""

    def __init__(self, port: int) -> None:
        self.longest_ms = 0.0
        self._port = port
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "_Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with closing(http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT_S)) as connection:
            while not self._is_over.wait(PROBE_PAUSE_S):
                start = time.monotonic()
                connection.request("GET", "/health/live")
                connection.getresponse().read()
                self.longest_ms = max(self.longest_ms, (time.monotonic() - start) * 1e3)


def line(row: Lag) -> str:
    return f"{row.name:29}{row.megabytes:6.2f}{row.status:8}{row.alone:12.0f}{row.together:13.0f}"


def heavy_bodies(model: str) -> list[HeavyBody]:
    """As much work for a frontend as its default limits let them be, and large honest ones."""
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
