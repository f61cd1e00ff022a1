"""Chooses the next id of every sequence of a step, and tells how probable it was."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
from logit_ranking import LogitRanking, Ranking
from paged_sequence import PagedSequence
from token_scores import Logits, TokenScore

_Scorer: TypeAlias = Callable[[int], TokenScore]


@dataclass(frozen=True, slots=True)
class Choice:
    """token_id is None when nothing is allowed to follow; score is None when it isn't wanted."""

    sequence: PagedSequence
    token_id: int | None
    score: TokenScore | None = None


class TokenChooser:
    """Not safe to share between threads."""

    def __init__(self, vocab_size: int) -> None:
        self._ranking = LogitRanking(vocab_size)

    def choose(self, logits: Logits, sequences: Sequence[PagedSequence]) -> list[Choice]:
        """Takes one row a sequence, [sequences, vocab_size], and changes it."""
        scorers = self._scorers(logits, sequences)
        for row, sequence in zip(logits, sequences, strict=True):
            for edit in sequence.request.edits:
                edit.apply(row)
        return [
            Choice(sequence, token_id, scorer(token_id) if scorer and token_id is not None else None)
            for sequence, token_id, scorer in zip(
                sequences, self._draw(logits, sequences), scorers, strict=True
            )
        ]

    def score(self, logits: Logits, ids: Sequence[int], num_top: int) -> list[TokenScore]:
        """How probable each id was by its row, [ids, vocab_size]."""
        ranking = self._rank_plain(logits)
        return [
            _score(row, ranking, index, num_top, token_id)
            for index, (row, token_id) in enumerate(zip(logits, ids, strict=True))
        ]

    def _scorers(self, logits: Logits, sequences: Sequence[PagedSequence]) -> list[_Scorer | None]:
        """What will score the chosen ids by the logits as they are now."""
        requests = [sequence.request for sequence in sequences]
        if not any(request.wants_scores for request in requests):
            return [None] * len(requests)
        ranking = self._rank_plain(logits)
        return [
            partial(_score, row.copy() if request.edits else row, ranking, index, request.num_top)
            if request.wants_scores
            else None
            for index, (row, request) in enumerate(zip(logits, requests, strict=True))
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


def _draw_one(row: Logits, sequence: PagedSequence, ranking: Ranking | None, index: int) -> int | None:
    if sequence.request.edits and row.max() == -np.inf:
        return None
    if ranking is None or sequence.request.sampling.is_greedy:
        return int(row.argmax())
    return sequence.sampler.draw(
        row, ranking.ids[index], ranking.logits[index], float(ranking.log_sums[index])
    )


def _score(row: Logits, ranking: Ranking, index: int, num_top: int, token_id: int) -> TokenScore:
    log_sum = ranking.logits[index, 0] + ranking.log_sums[index]
    top_log_probs = ranking.logits[index, :num_top] - log_sum
    top = zip(ranking.ids[index, :num_top].tolist(), top_log_probs.tolist(), strict=True)
    return TokenScore(token_id, float(row[token_id] - log_sum), tuple(top))
