"""The largest logits and their sum of exponentials, by native/cpu_decoder."""

import ctypes
from dataclasses import dataclass

import numpy as np
from decoder.library import address, load_library
from numpy.typing import NDArray

from sampling.token_scores import Logits

NUM_RANKED = 64


@dataclass(frozen=True, slots=True)
class Ranking:
    """ids and logits have the shape [rows, ranked], largest first, log_sums [rows].

    log_sums holds log(sum(exp((logits - largest) / temperature))): small, and so exact, at any temperature.
    """

    ids: NDArray[np.int32]
    logits: Logits
    log_sums: NDArray[np.float32]


class LogitRanking:
    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._rank = load_library().rank_logits
        row = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_int)
        self._rank.argtypes = (*row, ctypes.c_void_p, ctypes.c_int, *3 * (ctypes.c_void_p,))
        self._rank.restype = None

    def rank(self, logits: Logits, temperatures: NDArray[np.float32]) -> Ranking:
        """Takes logits [rows, vocab_size] and temperatures [rows]."""
        num_rows, num_ranked = len(logits), min(NUM_RANKED, self._vocab_size)
        ranking = Ranking(
            np.empty([num_rows, num_ranked], np.int32),
            np.empty([num_rows, num_ranked], np.float32),
            np.empty([num_rows], np.float32),
        )
        self._rank(
            *(address(logits), logits.strides[0] // logits.itemsize, num_rows, self._vocab_size),
            *(address(np.ascontiguousarray(temperatures)), num_ranked),
            *(address(ranking.ids), address(ranking.logits), address(ranking.log_sums)),
        )
        return ranking
