"""The likeliest tokens at each position of a response, as postprocess ranks them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from frontend.errors import EngineFailed
from frontend.triton.tensors import read_floats, read_ids

TOP_IDS = "top_log_prob_ids"
TOP_LOGPROBS = "top_log_probs"
TOP_OUTPUTS = ("chosen_log_probs", TOP_IDS, TOP_LOGPROBS)
# What OpenAI's API tells instead of the log-prob of a token that can't come; JSON knows no infinity.
LEAST_LOGPROB = -9999.0


class Speller(Protocol):
    async def spell(self, ids: Sequence[int]) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class TopToken:
    """A token that might have come, and its log-prob."""

    bytes: bytes
    logprob: float


async def read_top_tokens(
    speller: Speller, outputs: Mapping[str, bytes], num_top: int
) -> list[tuple[TopToken, ...]]:
    """A row of num_top for each token of the response, the best first; raises EngineFailed."""
    if not num_top:
        return []
    try:
        num_tokens = len(read_ids(outputs["output_ids"]))
        if num_tokens == 0:
            return []
        ids, logprobs = read_ids(outputs[TOP_IDS]), read_floats(outputs[TOP_LOGPROBS])
    except KeyError as error:
        raise EngineFailed("The engine's answer lacks a tensor.") from error
    return await ranked_rows(speller, ids, logprobs, num_tokens, num_top)


async def ranked_rows(
    speller: Speller, ids: Sequence[int], logprobs: Sequence[float], num_rows: int, num_top: int
) -> list[tuple[TopToken, ...]]:
    """The first num_top of each row of equal length."""
    width, rest = divmod(len(ids), num_rows)
    if width < num_top or rest or len(ids) != len(logprobs):
        raise EngineFailed("The engine answered with a malformed tensor.")
    kept = [place for start in range(0, len(ids), width) for place in range(start, start + num_top)]
    spelled = await speller.spell([ids[place] for place in kept])
    tokens = [
        TopToken(piece, max(logprobs[place], LEAST_LOGPROB))
        for piece, place in zip(spelled, kept, strict=True)
    ]
    return [tuple(tokens[start : start + num_top]) for start in range(0, len(tokens), num_top)]
