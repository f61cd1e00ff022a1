"""Logits to log-probs: of the chosen ids, and of the likeliest ones in their place."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUM_TOP = 20

# The likeliest are sought in the groups with the largest maxima: 0.4 ms a row of 128,256 logits, not 1.4.
_GROUP_SIZE = 64


def rank_tokens(logits: NDArray[np.float32], ids: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Takes one sequence's logits [..., vocabulary] in the order of its ids; more rows than ids are allowed.

    Gives chosen_log_probs [1, ids], top_log_prob_ids and top_log_probs [1, ids, 20]; raises ValueError.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    if len(rows) < len(ids):
        raise ValueError(f"generation_logits has {len(rows)} rows for {len(ids)} ids.")
    chosen = np.empty((1, len(ids)), np.float32)
    top_ids = np.empty((1, len(ids), min(NUM_TOP, rows.shape[1])), np.int32)
    top = np.empty(top_ids.shape, np.float32)
    for place, (row, token_id) in enumerate(zip(rows[: len(ids)], ids, strict=True)):
        largest = row.max()
        log_sum = largest + np.log(np.exp(row - largest).sum())
        best = _best(row)
        chosen[0, place] = row[token_id] - log_sum
        top_ids[0, place] = best
        top[0, place] = row[best] - log_sum
    return {"chosen_log_probs": chosen, "top_log_prob_ids": top_ids, "top_log_probs": top}


def _best(row: NDArray[np.float32]) -> NDArray[np.intp]:
    """The ids of the largest logits, largest first."""
    num_groups = len(row) // _GROUP_SIZE
    groups = row[: num_groups * _GROUP_SIZE].reshape(num_groups, _GROUP_SIZE)
    candidates = np.arange(len(row))
    if num_groups > NUM_TOP:
        chosen = np.argpartition(-groups.max(axis=1), NUM_TOP - 1)[:NUM_TOP]
        members = (chosen[:, np.newaxis] * _GROUP_SIZE + np.arange(_GROUP_SIZE)).ravel()
        candidates = np.concatenate([np.sort(members), candidates[num_groups * _GROUP_SIZE :]])
    order = np.argsort(-row[candidates], kind="stable")
    best: NDArray[np.intp] = candidates[order[:NUM_TOP]]
    return best
