"""What a request changes in its logits before the next id is chosen."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from contract.stop_word_ids import Word
from contract.tensors import Logits
from numpy.typing import NDArray


class LogitEdit(Protocol):
    """One sequence's; keeps up with what the sequence writes."""

    def apply(self, logits: Logits) -> None:
        """Changes one row, of shape [vocab_size], in place; InvalidInput ends the answer in an error."""

    def note(self, token_id: int, /) -> None:
        """Hears of every generated id."""


class Bias:
    """Added to the logits of some ids."""

    def __init__(self, bias: Mapping[int, float]) -> None:
        self._ids = np.fromiter(bias.keys(), np.int64, len(bias))
        self._values = np.fromiter(bias.values(), np.float32, len(bias))

    def apply(self, logits: Logits) -> None:
        logits[self._ids] += self._values

    def note(self, _token_id: int, /) -> None:
        pass


class Penalties:
    """Repetition: over prompt and generated ids; presence and frequency: over generated ids only."""

    def __init__(
        self, prompt_ids: Iterable[int], vocab_size: int, repetition: float, presence: float, frequency: float
    ) -> None:
        self._repetition = np.float32(repetition)
        self._presence = np.float32(presence)
        self._frequency = np.float32(frequency)
        self._num_generated: NDArray[np.int32] = np.zeros(vocab_size, np.int32)
        self._is_seen: NDArray[np.bool_] = np.zeros(vocab_size, np.bool_)
        self._is_seen[np.fromiter(prompt_ids, np.int64)] = True

    def apply(self, logits: Logits) -> None:
        seen = np.flatnonzero(self._is_seen)
        values = logits[seen]
        values = np.where(values > 0, values / self._repetition, values * self._repetition)
        counts = self._num_generated[seen]
        logits[seen] = values - self._presence * (counts > 0) - self._frequency * counts

    def note(self, token_id: int, /) -> None:
        self._is_seen[token_id] = True
        self._num_generated[token_id] += 1


class BadWords:
    """Keeps the last id of each word from being written after the others."""

    def __init__(self, words: Iterable[Word]) -> None:
        self._last_ids: defaultdict[Word, list[int]] = defaultdict(list)
        for word in words:
            self._last_ids[word[:-1]].append(word[-1])
        self._longest = max(map(len, self._last_ids), default=0)
        self._written: list[int] = []

    def apply(self, logits: Logits) -> None:
        for beginning, last_ids in self._last_ids.items():
            if _ends_with(self._written, beginning):
                logits[last_ids] = -np.inf

    def note(self, token_id: int, /) -> None:
        self._written.append(token_id)
        del self._written[: len(self._written) - self._longest]


class MinLength:
    """Keeps the ids that end a text from being written too early."""

    def __init__(self, end_ids: Iterable[int], num_tokens: int) -> None:
        self._end_ids = list(end_ids)
        self._num_missing = num_tokens

    def apply(self, logits: Logits) -> None:
        if self._num_missing > 0:
            logits[self._end_ids] = -np.inf

    def note(self, _token_id: int, /) -> None:
        self._num_missing -= 1


def _ends_with(ids: Sequence[int], word: Word) -> bool:
    return not word or tuple(ids[-len(word) :]) == word
