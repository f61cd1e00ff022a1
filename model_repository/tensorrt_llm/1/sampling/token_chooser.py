"""Chooses the next id of every sequence of a step, and tells how probable it was."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from batching.paged_sequence import PagedSequence
from contract.generation import TokenScore
from contract.tensors import InvalidInput, Logits

from sampling.logit_ranking import LogitRanking, Ranking

_LogProb: TypeAlias = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Choice:
    """token_id is None when nothing is allowed to follow; the refusal says why, unless the text is over.

    log_prob and logits, a row's copy, are the model's own: before temperature, penalties, bias and masks.
    """

    sequence: PagedSequence
    token_id: int | None
    log_prob: float | None = None
    logits: Logits | None = None
    refusal: InvalidInput | None = None


class TokenChooser:
    """Not safe to share between threads."""

    def __init__(self, vocab_size: int) -> None:
        self._ranking = LogitRanking(vocab_size)

    def choose(self, logits: Logits, sequences: Sequence[PagedSequence]) -> list[Choice]:
        """Takes one row a sequence, [sequences, vocab_size], and changes it."""
        log_probs = self._log_probs(logits, sequences)
        rows = [
            row.copy() if it.request.returns_generation_logits else None
            for row, it in zip(logits, sequences, strict=True)
        ]
        refusals = [_edit(row, sequence) for row, sequence in zip(logits, sequences, strict=True)]
        return [
            Choice(
                sequence,
                token_id,
                log_prob(token_id) if log_prob and token_id is not None else None,
                row,
                refusal,
            )
            for sequence, token_id, log_prob, row, refusal in zip(
                sequences, self._draw(logits, sequences), log_probs, rows, refusals, strict=True
            )
        ]

    def score(self, logits: Logits, ids: Sequence[int], num_top: int) -> list[TokenScore]:
        """How probable each id was by its row, [ids, vocab_size]."""
        ranking = self._rank_plain(logits)
        return [
            _score(row, ranking, index, num_top, token_id)
            for index, (row, token_id) in enumerate(zip(logits, ids, strict=True))
        ]

    def _log_probs(self, logits: Logits, sequences: Sequence[PagedSequence]) -> list[_LogProb | None]:
        """What will tell the log-probs of the chosen ids by the logits as they are now."""
        if not any(sequence.request.returns_log_probs for sequence in sequences):
            return [None] * len(sequences)
        ranking = self._rank_plain(logits)
        return [
            partial(_log_prob, row.copy() if sequence.edits else row, ranking, index)
            if sequence.request.returns_log_probs
            else None
            for index, (row, sequence) in enumerate(zip(logits, sequences, strict=True))
        ]

    def _draw(self, logits: Logits, sequences: Sequence[PagedSequence]) -> list[int | None]:
        samplings = [sequence.request.sampling for sequence in sequences]
        ranking = None
        if not all(sampling.is_greedy for sampling in samplings):
            temperatures = [1.0 if sampling.is_greedy else sampling.temperature for sampling in samplings]
            ranking = self._ranking.rank(logits, np.array(temperatures, np.float32))
        return [
            _draw_one(row, sequence, ranking, index)
            for index, (row, sequence) in enumerate(zip(logits, sequences, strict=True))
        ]

    def _rank_plain(self, logits: Logits) -> Ranking:
        return self._ranking.rank(logits, np.ones(len(logits), np.float32))


def _edit(row: Logits, sequence: PagedSequence) -> InvalidInput | None:
    try:
        for edit in sequence.edits:
            edit.apply(row)
    except InvalidInput as refusal:
        row[:] = -np.inf
        return refusal
    return None


def _draw_one(row: Logits, sequence: PagedSequence, ranking: Ranking | None, index: int) -> int | None:
    if sequence.edits and row.max() == -np.inf:
        return None
    if ranking is None or sequence.request.sampling.is_greedy:
        return int(row.argmax())
    return sequence.sampler.draw(
        row, ranking.ids[index], ranking.logits[index], float(ranking.log_sums[index])
    )


def _score(row: Logits, ranking: Ranking, index: int, num_top: int, token_id: int) -> TokenScore:
    top_log_probs = ranking.logits[index, :num_top] - _log_sum(ranking, index)
    top = zip(ranking.ids[index, :num_top].tolist(), top_log_probs.tolist(), strict=True)
    return TokenScore(token_id, _log_prob(row, ranking, index, token_id), tuple(top))


def _log_prob(row: Logits, ranking: Ranking, index: int, token_id: int) -> float:
    return float(row[token_id] - _log_sum(ranking, index))


def _log_sum(ranking: Ranking, index: int) -> float:
    """log(sum(exp(logits))) of one row."""
    return float(ranking.logits[index, 0] + ranking.log_sums[index])
