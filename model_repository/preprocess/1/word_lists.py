"""Word lists and biases in the encoding of the tensorrt_llm model."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def pack_words(words: Iterable[Sequence[int]]) -> NDArray[np.int32]:
    """[2, n]: all ids one after another, and each word's exclusive end offset padded with -1."""
    kept = [word for word in words if word]
    ids = [index for word in kept for index in word]
    packed = np.full((2, len(ids)), -1, np.int32)
    packed[0] = ids
    packed[1, : len(kept)] = np.cumsum([len(word) for word in kept])
    return packed


def dense_bias(
    words: Sequence[Sequence[int]], weights: Sequence[float], vocab_size: int
) -> NDArray[np.float32]:
    """[vocab_size] with each weight added at the ids of its word; [0] without words."""
    if not words:
        return np.empty(0, np.float32)
    bias = np.zeros(vocab_size, np.float32)
    for word, weight in zip(words, weights, strict=True):
        for index in word:
            bias[index] += weight
    return bias
