"""Stop strings, exact on text: found across chunk borders, held back until decided, never leaked."""

from collections.abc import Sequence


class StopStrings:
    """Feeds on pieces of one text; what it returns can be shown."""

    def __init__(self, strings: Sequence[str], keeps_match: bool = False) -> None:
        self._strings = strings
        self._keeps_match = keeps_match
        self._num_held = max((len(string) for string in strings), default=1) - 1
        self._pending = ""
        # Of what is pending: no match ends within it.
        self._num_exempt = 0
        self.matched: str | None = None

    def feed(self, text: str, may_end: bool = True) -> str:
        """The text that is now decided; after a match the text up to it, and nothing from then on.

        `may_end`: whether a match may end within this piece.
        """
        if not self._strings:
            return text
        if self.matched is not None:
            return ""
        self._pending += text
        if not may_end:
            self._num_exempt = len(self._pending)
        if (end := self._match()) is not None:
            return self._take(end)
        return self._take(len(self._pending) - self._undecided())

    def flush(self) -> str:
        """What was held back, once the text has ended."""
        return "" if self.matched is not None else self._take(len(self._pending))

    def _match(self) -> int | None:
        """End of the text to show if a string matches: the match that ends first, the longest of these."""
        found = [
            (at + len(string), at, string)
            for string in self._strings
            if (at := self._pending.find(string, max(0, self._num_exempt - len(string) + 1))) >= 0
        ]
        if not found:
            return None
        end, start, self.matched = min(found)
        return end if self._keeps_match else start

    def _undecided(self) -> int:
        """Length of the longest tail that may still grow into a stop string."""
        text = self._pending
        for length in range(min(self._num_held, len(text)), 0, -1):
            tail = text[-length:]
            if any(len(string) > length and string.startswith(tail) for string in self._strings):
                return length
        return 0

    def _take(self, end: int) -> str:
        taken, self._pending = self._pending[:end], self._pending[end:]
        self._num_exempt = max(0, self._num_exempt - end)
        return taken
