"""Draws the next id of one sequence from its logits."""

import random
from typing import TypeAlias

import numpy as np
from contract.sampling import Sampling
from contract.tensors import Logits
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float64]

_SMALLEST = np.nextafter(0.0, 1.0)


class TokenSampler:
    """The same seed and the same logits give the same ids."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = random.Random(sampling.seed)  # noqa: S311

    def draw(self, logits: Logits, best_ids: NDArray[np.int32], best: Logits, log_sum: float) -> int:
        """From one whole row of logits; best and log_sum are what LogitRanking says of it.

        The best nearly always decide; when not, the same draw is looked up among all.
        """
        where = self._random.random()
        place = self._find(best, log_sum, where, is_whole=False)
        if place is not None:
            return int(best_ids[place])
        ids = np.argsort(-logits, kind="stable")
        place = self._find(logits[ids], log_sum, where, is_whole=True)
        return int(ids[place])

    def _find(self, descending: Logits, log_sum: float, where: float, *, is_whole: bool) -> int | None:
        """The place of the drawn id; None when it depends on logits beyond these."""
        below = descending.astype(np.float64) - float(descending[0])
        chances = np.exp(below / self._sampling.temperature - log_sum)
        sums = np.cumsum(chances)
        num_kept = self._num_kept(chances, sums, is_whole=is_whole)
        if num_kept is None and self._is_filtering:
            return None
        mass = 1.0 if num_kept is None else float(sums[num_kept - 1])
        place = int(np.searchsorted(sums, where * mass, side="right"))
        if num_kept is not None:
            return min(place, num_kept - 1)
        return place if place < len(sums) else None

    @property
    def _is_filtering(self) -> bool:
        return self._sampling.top_k > 0 or self._sampling.top_p < 1 or self._sampling.min_p > 0

    def _num_kept(self, chances: _Floats, sums: _Floats, *, is_whole: bool) -> int | None:
        """How many of the first are left by top_k, by top_p of what that leaves, and by min_p."""
        top_k, num_known = self._sampling.top_k, len(chances)
        if top_k > num_known and not is_whole:
            return None
        num_candidates = min(top_k or num_known, num_known)
        is_cut = is_whole or top_k > 0
        mass = float(sums[num_candidates - 1]) if is_cut else 1.0
        num_top_p = int(np.searchsorted(sums, self._sampling.top_p * mass)) + 1
        least = max(self._sampling.min_p * chances[0], _SMALLEST)
        num_min_p = int(np.count_nonzero(chances >= least))
        fewest = min(num_candidates, num_top_p, num_min_p)
        is_decided = is_cut or num_min_p < num_known or (self._sampling.top_p < 1 and num_top_p <= num_known)
        return fewest if is_decided else None
