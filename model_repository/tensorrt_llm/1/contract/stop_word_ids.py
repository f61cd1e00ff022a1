"""Stop words as TensorRT-LLM encodes them, and how a generation notices that it wrote one."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from contract.tensors import InvalidInput, Tensors, check_ids

Word: TypeAlias = tuple[int, ...]


def read_words(tensors: Tensors, name: str, vocab_size: int) -> tuple[Word, ...]:
    """The words of a tensor [1, 2, n]: ids one after another; each word's exclusive end, padded with -1."""
    array = tensors.get(name)
    if array is None or array.size == 0:
        return ()
    if array.ndim != 3 or array.shape[:2] != (1, 2):
        raise InvalidInput(name, f"must have the shape [1, 2, n], got {list(array.shape)}.")
    ids, ends = array[0]
    ends = _without_padding(ends, name)
    _check_ends(ends, len(ids), name)
    words = np.split(ids, ends)[:-1]
    check_ids(ids[: int(ends[-1])] if len(ends) else ids[:0], name, vocab_size)
    return tuple(tuple(word.tolist()) for word in words)


def _without_padding(ends: NDArray[Any], name: str) -> NDArray[Any]:
    (padding,) = np.nonzero(ends == -1)
    if not len(padding):
        return ends
    first = int(padding[0])
    if (ends[first:] != -1).any():
        raise InvalidInput(name, "row 1 must hold nothing but -1 after its first -1.")
    return ends[:first]


def _check_ends(ends: NDArray[Any], num_ids: int, name: str) -> None:
    if len(ends) and (ends[0] < 1 or ends[-1] > num_ids or (np.diff(ends) < 1).any()):
        raise InvalidInput(name, f"row 1 must rise from word to word, from 1 at least to {num_ids} at most.")


class StopWords:
    def __init__(self, words: Iterable[Word]) -> None:
        self._words_by_last_id: defaultdict[int, list[list[int]]] = defaultdict(list)
        for word in words:
            self._words_by_last_id[word[-1]].append(list(word))

    def end(self, ids: Sequence[int]) -> bool:
        """Whether the ids end with one of the words."""
        words = self._words_by_last_id.get(ids[-1])
        return words is not None and any(ids[-len(word) :] == word for word in words)
