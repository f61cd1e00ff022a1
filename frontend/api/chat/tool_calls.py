"""Text of Llama 3.1 -> what is said and which tools are called, each character read once.

A call is {"name": ..., "parameters": {...}}, where

- a <|python_tag|> or text may stand before it;
- further calls may follow, set apart by ; or , or blanks, or in a JSON array;
- "type": "function" may stand in it, the keys in any order, and "arguments" for "parameters";
- the parameters may be null, absent, or a string that holds the object;
- <function=name>{...}</function> is the other form that Meta describes.

All else is text, above all JSON that calls none of the offered tools.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from frontend.api.chat.text_scanner import BLANK, Reading, TextScanner

PYTHON_TAG = "<|python_tag|>"

_TEXT = re.compile(r"[^<{\[]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_KEYS = frozenset({"name", "type", "parameters", "arguments"})
# What stands between two calls and is not said; a bracket closes an array of calls.
_SEPARATORS = BLANK + ";,]"


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of one call: id and name come once, with the first one; arguments are a piece of JSON text."""

    index: int
    id: str | None
    name: str | None
    arguments: str


def first_delta(index: int, name: str, arguments: str) -> ToolCallDelta:
    return ToolCallDelta(index, f"call_{secrets.token_hex(12)}", name, arguments)


class ToolCallParser:
    """Takes the text in any pieces; what it gives back is the same for all ways to cut it."""

    def __init__(self, tool_names: Iterable[str]) -> None:
        self._names = frozenset(tool_names)
        self._scanner = TextScanner()
        self._results: list[str | ToolCallDelta] = []
        self._num_calls = 0
        # Characters that are dropped if a call comes next.
        self._gap = BLANK
        self._reading = self._read_message()
        next(self._reading)

    def feed(self, text: str) -> list[str | ToolCallDelta]:
        self._scanner.add(text)
        return self._read()

    def flush(self) -> list[str | ToolCallDelta]:
        """What was held back; the text is over."""
        self._scanner.end()
        return self._read()

    def _read(self) -> list[str | ToolCallDelta]:
        next(self._reading, None)
        results, self._results = self._results, []
        return _joined(results)

    def _read_message(self) -> Reading[None]:
        while char := (yield from self._scanner.peek()):
            if char in self._gap:
                yield from self._scanner.take()
                continue
            if char == "<":
                yield from self._read_tag()
            elif char in "{[":
                yield from self._read_json()
            else:
                yield from self._scanner.take_part(_TEXT)
            self._say()
        if self._gap != _SEPARATORS:
            self._say()

    def _read_tag(self) -> Reading[None]:
        yield from self._scanner.take()
        take_literal = self._scanner.take_literal
        char = yield from self._scanner.peek()
        if char == "|" and (yield from take_literal(PYTHON_TAG[1:])):
            self._scanner.release()
            self._gap = self._gap or BLANK
        elif char == "f" and (yield from take_literal("function=")):
            yield from self._read_tagged_call()
        elif char == "/" and self._gap == _SEPARATORS and (yield from take_literal("/function>")):
            self._scanner.release()

    def _read_tagged_call(self) -> Reading[None]:
        call = _OpenCall(self._num_calls)
        call.name = yield from self._scanner.take_all(_NAME)
        if call.name not in self._names or not (yield from self._scanner.take_literal(">")):
            return
        if (yield from self._scanner.skip_blank()) == "{":
            yield from self._scanner.take_braces(lambda part: self._deliver(call, part))
            self._close()

    def _read_json(self) -> Reading[None]:
        if (yield from self._scanner.peek()) == "[":
            yield from self._scanner.take()
            if (yield from self._scanner.skip_blank()) != "{":
                return
        yield from self._scanner.take()
        if (yield from self._scanner.skip_blank()) != '"':
            return
        try:
            yield from self._read_call()
        except _NoCall:
            self._say()
            yield from self._scanner.take_braces(lambda _: self._say(), depth=1)

    def _read_call(self) -> Reading[None]:
        """The members of an object; raises _NoCall outside of strings, before the object's end."""
        call = _OpenCall(self._num_calls)
        has_next = True
        while has_next:
            yield from self._read_member(call)
            self._deliver(call, "")
            if call.is_delivered:
                yield from self._skip_members()
                self._close()
                return
            has_next = yield from self._has_next_member()
        if call.name is not None:
            self._deliver(call, "{}")
            self._close()

    def _read_member(self, call: "_OpenCall") -> Reading[None]:
        key = yield from self._scanner.take_string()
        if key not in _KEYS or (yield from self._scanner.skip_blank()) != ":":
            raise _NoCall
        yield from self._scanner.take()
        opening = yield from self._scanner.skip_blank()
        if key in ("parameters", "arguments"):
            yield from self._read_arguments(call, opening)
            return
        value = (yield from self._scanner.take_string()) if opening == '"' else None
        if value not in (self._names if key == "name" else ("function",)):
            raise _NoCall
        if key == "name":
            call.name = value

    def _read_arguments(self, call: "_OpenCall", opening: str) -> Reading[None]:
        if opening == "{":
            yield from self._scanner.take_braces(lambda part: self._deliver(call, part))
        elif opening == '"':
            yield from self._read_quoted_arguments(call)
        elif (yield from self._scanner.take_literal("null")):
            self._deliver(call, "{}")
        else:
            raise _NoCall

    def _read_quoted_arguments(self, call: "_OpenCall") -> Reading[None]:
        yield from self._scanner.take()
        char = yield from self._scanner.peek()
        if char == "{":
            yield from self._scanner.take_unescaped(lambda part: self._deliver(call, part))
        elif char == '"':
            yield from self._scanner.take()
            self._deliver(call, "{}")
        else:
            yield from self._scanner.take_string_rest(lambda _: None)
            raise _NoCall

    def _has_next_member(self) -> Reading[bool]:
        char = yield from self._scanner.skip_blank()
        if char == "}":
            yield from self._scanner.take()
            return False
        if not (yield from self._scanner.take_literal(",")) or (yield from self._scanner.skip_blank()) != '"':
            raise _NoCall
        return True

    def _skip_members(self) -> Reading[None]:
        """The rest of a call's object, unless the model forgot to close it."""
        char = yield from self._scanner.skip_blank()
        if char == "}":
            yield from self._scanner.take()
        elif char == ",":
            yield from self._scanner.take()
            if (yield from self._scanner.skip_blank()) == '"':
                yield from self._scanner.take_braces(lambda _: None, depth=1)

    def _deliver(self, call: "_OpenCall", arguments: str) -> None:
        deltas = call.add(arguments)
        if deltas:
            self._num_calls = call.index + 1
            self._scanner.release()
            self._results += deltas

    def _say(self) -> None:
        if text := self._scanner.release():
            self._results.append(text)
            self._gap = ""

    def _close(self) -> None:
        self._scanner.release()
        self._gap = _SEPARATORS


class _NoCall(Exception):
    """The object that is being read is not a call."""


class _OpenCall:
    """A call that is being read: its arguments wait until its name is known."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.name: str | None = None
        self.is_delivered = False
        self._waiting: list[str] = []

    def add(self, arguments: str) -> list[ToolCallDelta]:
        if arguments:
            self._waiting.append(arguments)
        if self.name is None or not self._waiting:
            return []
        text = "".join(self._waiting)
        self._waiting.clear()
        if self.is_delivered:
            return [ToolCallDelta(self.index, None, None, text)]
        self.is_delivered = True
        return [first_delta(self.index, self.name, text)]


def _joined(results: list[str | ToolCallDelta]) -> list[str | ToolCallDelta]:
    """One text or call in a row each."""
    return [_join(list(group)) for _, group in groupby(results, _call_index)]


def _call_index(result: str | ToolCallDelta) -> int | None:
    return None if isinstance(result, str) else result.index


def _join(results: list[str | ToolCallDelta]) -> str | ToolCallDelta:
    first = results[0]
    if isinstance(first, str):
        return "".join(_texts(results))
    return ToolCallDelta(first.index, first.id, first.name, "".join(_texts(results)))


def _texts(results: list[str | ToolCallDelta]) -> Iterator[str]:
    return (result if isinstance(result, str) else result.arguments for result in results)
