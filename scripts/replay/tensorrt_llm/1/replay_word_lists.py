"""Stop and bad words as the C++ backend decodes them, without the checks that it leaves out."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from replay_errors import check


def read_word_list(tensor: NDArray[Any] | None) -> tuple[tuple[int, ...], ...]:
    """Row 0: the words' ids one after another; row 1: each word's exclusive end, padded with -1."""
    if tensor is None:
        return ()
    flat = tensor.reshape(-1).tolist()
    check(len(flat) % 2 == 0, "Sparse list must not have odd length")
    ids, ends = flat[: len(flat) // 2], flat[len(flat) // 2 :]
    return _words(ids, _without_padding(ends))


def _without_padding(ends: list[int]) -> list[int]:
    if -1 not in ends:
        return ends
    first = ends.index(-1)
    check(set(ends[first:]) == {-1}, "Sparse list must not have additional -1s")
    return ends[:first]


def _words(ids: Sequence[int], ends: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    words = []
    start = 0
    for place, end in enumerate(ends):
        check(end <= len(ids), "Sparse list must not have out-of-bound offsets")
        check(not place or end > ends[place - 1], "Sparse list must not have non-increasing offsets")
        words.append(tuple(ids[start:end]))
        start = max(start, end)
    return tuple(word for word in words if word)
