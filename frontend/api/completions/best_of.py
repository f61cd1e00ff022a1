"""Picks the candidates that the model finds likeliest, as OpenAI's best_of does: by log-prob per token."""

from collections.abc import Sequence
from statistics import fmean

from frontend.generation.generation import Delta


def best_of(candidates: Sequence[list[Delta]], num_kept: int) -> list[list[Delta]]:
    """The best first; all of them, in their order, when all are kept."""
    if len(candidates) <= num_kept:
        return list(candidates)
    return sorted(candidates, key=_mean_logprob, reverse=True)[:num_kept]


def _mean_logprob(candidate: Sequence[Delta]) -> float:
    logprobs = [token.logprob for delta in candidate for token in delta.tokens]
    return fmean(logprobs) if logprobs else 0.0
