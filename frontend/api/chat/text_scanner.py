"""Reads JSON's lexical parts out of a text that comes in pieces, each character once.

Every reader is a generator that pauses where the text so far ends; what it reads is empty once all is over.
"""

import codecs
import re
from collections.abc import Callable, Generator
from typing import TypeVar

Result = TypeVar("Result")
Reading = Generator[None, None, Result]
Sink = Callable[[str], None]

BLANK = " \t\r\n"

_BLANKS = re.compile(r"[ \t\r\n]+")
_TO_STRUCTURE = re.compile(r'[^"{}]*["{}]?')
_TO_STRING_END = re.compile(r'[^"\\]*["\\]?')
_STRING_PART = re.compile(r'[^"\\]+|["\\]')
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class TextScanner:
    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._is_over = False
        self._taken: list[str] = []

    def add(self, text: str) -> None:
        """Follows the text before, of which a reader has taken everything."""
        self._text, self._at = text, 0

    def end(self) -> None:
        self._text, self._at, self._is_over = "", 0, True

    def release(self) -> str:
        """What was taken since the last release."""
        text = "".join(self._taken)
        self._taken.clear()
        return text

    def peek(self) -> Reading[str]:
        while self._at == len(self._text) and not self._is_over:
            yield
        return self._text[self._at : self._at + 1]

    def take(self) -> Reading[str]:
        char = yield from self.peek()
        self._at += len(char)
        self._taken.append(char)
        return char

    def take_part(self, pattern: re.Pattern[str]) -> Reading[str]:
        """What matches here, as far as the text has come."""
        yield from self.peek()
        match = pattern.match(self._text, self._at)
        part = match[0] if match else ""
        self._at += len(part)
        self._taken.append(part)
        return part

    def take_all(self, pattern: re.Pattern[str]) -> Reading[str]:
        parts = []
        while part := (yield from self.take_part(pattern)):
            parts.append(part)
        return "".join(parts)

    def take_literal(self, literal: str) -> Reading[bool]:
        """Whether all of it is here; takes what is."""
        for expected in literal:
            if (yield from self.peek()) != expected:
                return False
            yield from self.take()
        return True

    def skip_blank(self) -> Reading[str]:
        """The first character that is not blank, not yet taken."""
        yield from self.take_all(_BLANKS)
        return (yield from self.peek())

    def take_braces(self, sink: Sink, depth: int = 0) -> Reading[None]:
        """JSON up to the brace that closes `depth` open ones, or those that come first."""
        while part := (yield from self.take_part(_TO_STRUCTURE)):
            sink(part)
            if part[-1] == '"':
                yield from self.take_string_rest(sink)
            elif part[-1] in "{}":
                depth += 1 if part[-1] == "{" else -1
                if depth == 0:
                    return

    def take_string(self) -> Reading[str]:
        """A string's content, escapes as they are written."""
        parts: list[str] = []
        yield from self.take()
        yield from self.take_string_rest(parts.append)
        return "".join(parts).removesuffix('"')

    def take_string_rest(self, sink: Sink) -> Reading[None]:
        """Up to and with the closing quote."""
        while part := (yield from self.take_part(_TO_STRING_END)):
            sink(part)
            if part[-1] == '"':
                return
            if part[-1] == "\\":
                sink((yield from self.take()))

    def take_unescaped(self, sink: Sink) -> Reading[None]:
        """What an opened string says, without its closing quote; a lone surrogate becomes U+FFFD."""
        utf16 = codecs.getincrementaldecoder("utf-16-le")("replace")
        while part := (yield from self.take_part(_STRING_PART)):
            if part == '"':
                break
            said = (yield from self._take_escaped()) if part == "\\" else part
            sink(utf16.decode(said.encode("utf-16-le", "surrogatepass")))
        sink(utf16.decode(b"", final=True))

    def _take_escaped(self) -> Reading[str]:
        char = yield from self.take()
        if char != "u":
            return _ESCAPES.get(char, char)
        digits = ""
        while len(digits) < 4 and (yield from self.peek()) in _HEX_DIGITS:
            digits += yield from self.take()
        return chr(int(digits, 16)) if len(digits) == 4 else "\ufffd"
