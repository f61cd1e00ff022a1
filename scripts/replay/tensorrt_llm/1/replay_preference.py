"""The logits of a request that limits its ids: words, a few in a row, then what closes, then the end."""

import numpy as np
from numpy.typing import NDArray
from replay_words import ReplayWords

_END_NOW, _NEXT_WORD, _WORD, _CLOSING, _END, _SPARE_WORD = 30.0, 20.0, 15.0, 10.0, 6.0, 5.0
_WORDS_IN_A_ROW = 3


class Preference:
    """Ties go to the lowest id; whatever is neither a word nor closes anything has the logit 0."""

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
