"""What ids a sequence gets, chunk by chunk: known beforehand, or chosen one by one by a request's rules."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from contract.stop_word_ids import StopWords
from numpy.typing import NDArray
from replay_request import ReplayRequest
from replay_words import ReplayWords
from sampling.logit_edits import LogitEdit

Ids: TypeAlias = NDArray[np.int32]

_END_NOW, _NEXT_WORD, _WORD, _CLOSING, _END, _SPARE_WORD = 30.0, 20.0, 15.0, 10.0, 6.0, 5.0
_WORDS_IN_A_ROW = 3


class Writer(Protocol):
    """num_steps: how many steps of the engine are still to come, the end id's among them; None if unknown."""

    @property
    def num_steps(self) -> int | None: ...

    def write(self, count: int) -> tuple[Ids, bool]:
        """The ids of as many steps, and whether these were the last ones."""


class KnownWriter:
    """Writes ids that are given; the end id takes a step but is none of them."""

    def __init__(self, ids: Ids, *, ends_by_end_id: bool) -> None:
        self._ids = ids
        self._num_steps = len(ids) + ends_by_end_id
        self._num_done = 0

    @property
    def num_steps(self) -> int | None:
        return self._num_steps - self._num_done

    def write(self, count: int) -> tuple[Ids, bool]:
        chunk = self._ids[self._num_done : self._num_done + count]
        self._num_done += count
        return chunk, self._num_done >= self._num_steps


class Preference:
    """Logits: words, a few in a row, then what closes, then the end.

    Ties go to the lowest id; whatever is neither a word nor closes anything has the logit 0.
    """

    def __init__(self, vocab_size: int, words: ReplayWords, start: int, end_id: int | None) -> None:
        self._words = words
        self._place = start
        self._end_id = end_id
        self._num_in_a_row = 0
        self._word_ids = frozenset(words.ids.tolist())
        self._base = np.zeros(vocab_size, np.float32)
        for rank, index in enumerate(words.closing_ids):
            self._base[index] = _CLOSING - rank

    def logits(self, *, is_ending: bool) -> NDArray[np.float32]:
        logits = self._base.copy()
        if self._num_in_a_row < _WORDS_IN_A_ROW:
            logits[self._words.ids] = _WORD
            logits[self._words.take(self._place, 1)] = _NEXT_WORD
        else:
            logits[self._words.ids] = _SPARE_WORD
        if self._end_id is not None:
            logits[self._end_id] = _END_NOW if is_ending else _END
        return logits

    def note(self, token_id: int) -> None:
        is_word = token_id in self._word_ids
        self._place += is_word
        self._num_in_a_row = self._num_in_a_row + 1 if is_word else 0


class ChoosingWriter:
    """Chooses each id by its preference, changed by the request's edits; ends at `length` ids if it may."""

    num_steps = None

    def __init__(
        self, request: ReplayRequest, preference: Preference, edits: Sequence[LogitEdit], length: int
    ) -> None:
        self._request = request
        self._preference = preference
        self._edits = edits
        self._length = length
        self._stop_words = StopWords(request.stop_words)
        self._ids: list[int] = []

    def write(self, count: int) -> tuple[Ids, bool]:
        first = len(self._ids)
        is_ended = False
        while not is_ended and count:
            is_ended = self._step()
            count -= 1
        return np.array(self._ids[first:], np.int32), is_ended

    def _step(self) -> bool:
        logits = self._preference.logits(is_ending=len(self._ids) >= self._length)
        for edit in self._edits:
            edit.apply(logits)
        token_id = int(logits.argmax())
        if token_id == self._request.end_id or logits[token_id] == -np.inf:
            return True
        self._ids.append(token_id)
        self._preference.note(token_id)
        for edit in self._edits:
            edit.note(token_id)
        return self._is_complete()

    def _is_complete(self) -> bool:
        request, num_ids = self._request, len(self._ids)
        if num_ids >= request.max_new_tokens:
            return True
        return num_ids >= request.min_new_tokens and self._stop_words.end(self._ids)


def known_ids(request: ReplayRequest, ids: Ids) -> KnownWriter:
    """Writes the ids up to the request's length or its first stop word, else to their end and the end id."""
    kept = ids[: request.max_new_tokens]
    stop = _first_stop(request, kept)
    if stop is not None:
        return KnownWriter(kept[:stop], ends_by_end_id=False)
    return KnownWriter(kept, ends_by_end_id=len(kept) < request.max_new_tokens)


def _first_stop(request: ReplayRequest, ids: Ids) -> int | None:
    last_ids: Any = [word[-1] for word in request.stop_words]
    if not np.isin(ids, last_ids).any():
        return None
    stop_words, written = StopWords(request.stop_words), ids.tolist()
    ends = range(max(request.min_new_tokens, 1), len(written) + 1)
    return next((end for end in ends if stop_words.end(written[:end])), None)
