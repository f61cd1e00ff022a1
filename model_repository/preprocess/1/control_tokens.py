"""Keeps text that looks like a control token text, and finds the control tokens that a template wrote."""

import re
from collections.abc import Mapping
from typing import Any

# Lone surrogates: no valid UTF-8 text has them, so no client can write one.
MARK = "\udfff"
END_OF_CONTENT = "\udffe"
_WITHOUT_MARKS = {ord(MARK): None, ord(END_OF_CONTENT): None}


class ControlTokens:
    """Control tokens of a tokenizer, by name; it has at least one, the end of text."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        longest_first = sorted(ids, key=len, reverse=True)
        self._ids = dict(ids)
        self._pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self._firsts = sorted({name[0] for name in ids})

    def mark(self, value: Any) -> Any:
        """A copy in which no control token can begin within a string, wherever a template puts it."""
        if isinstance(value, str):
            for first in self._firsts:
                value = value.replace(first, first + MARK)
            return value
        if isinstance(value, dict):
            return {self.mark(key): self.mark(item) for key, item in value.items()}
        return [self.mark(item) for item in value] if isinstance(value, list) else value

    def split(self, rendered: str) -> list[str | int]:
        """Texts without marks and the ids between them, in order; empty texts are left out."""
        pieces = self._pattern.split(rendered)
        texts: list[str | int] = [piece.translate(_WITHOUT_MARKS) for piece in pieces]
        texts[1::2] = [self._ids[name] for name in pieces[1::2]]
        return [piece for piece in texts if piece != ""]
