"""The likeliest tokens at each position of a response, as the engine ranks them."""

from collections.abc import Mapping
from dataclasses import dataclass

from frontend.errors import EngineFailed
from frontend.tensors import read_floats, read_ids
from frontend.triton import Triton

TOP_IDS = "top_log_prob_ids"
TOP_LOGPROBS = "top_log_probs"
# What OpenAI's API tells instead of the log-prob of a token that can't come; JSON knows no infinity.
LEAST_LOGPROB = -9999.0


@dataclass(frozen=True, slots=True)
class TopToken:
    """A token that might have come, and its log-prob."""

    bytes: bytes
    logprob: float


async def read_top_tokens(triton: Triton, outputs: Mapping[str, bytes]) -> list[tuple[TopToken, ...]]:
    """A row for each token of the response, the best first; raises EngineFailed for a malformed answer."""
    try:
        num_tokens = len(read_ids(outputs["output_ids"]))
        if num_tokens == 0:
            return []
        ids, logprobs = read_ids(outputs[TOP_IDS]), read_floats(outputs[TOP_LOGPROBS])
    except KeyError as error:
        raise EngineFailed("The engine's answer lacks a tensor.") from error
    width, rest = divmod(len(ids), num_tokens)
    if not ids or rest or len(ids) != len(logprobs):
        raise EngineFailed("The engine answered with a malformed tensor.")
    tokens = [
        TopToken(piece, max(logprob, LEAST_LOGPROB))
        for piece, logprob in zip(await triton.spell(ids), logprobs, strict=True)
    ]
    return [tuple(tokens[start : start + width]) for start in range(0, len(tokens), width)]
