"""Probabilities that nobody computed: a known function of the position, the same in log-probs and logits."""

import numpy as np
from numpy.typing import NDArray

NUM_RANKED = 20
# Logits below the chosen one's: 19 ids that share half of its probability.
_DISTANCES = 3.0 + 0.1 * np.arange(NUM_RANKED - 1)


def log_probs(first: int, count: int) -> NDArray[np.float32]:
    """Of the chosen ids at the positions from `first` on: -0.5, -0.75, -1, -1.25 and again."""
    return (-0.5 - 0.25 * (np.arange(first, first + count) % 4)).astype(np.float32)


def logits(first: int, ids: NDArray[np.int32], vocab_size: int) -> NDArray[np.float32]:
    """[ids, vocab_size]: by its row each id has its log-prob; the ids above it are the next likely."""
    rows = np.zeros((len(ids), vocab_size), np.float32)
    probability = np.exp(log_probs(first, len(ids)).astype(np.float64))
    rest = 1 - probability * (1 + np.exp(-_DISTANCES).sum())
    chosen = np.log((vocab_size - NUM_RANKED) * probability / rest)
    places = np.arange(len(ids))[:, None]
    rows[places, (ids[:, None] + np.arange(1, NUM_RANKED)) % vocab_size] = chosen[:, None] - _DISTANCES
    rows[places[:, 0], ids] = chosen
    return rows
