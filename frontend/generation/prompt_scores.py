"""How probable the tokens of a prompt are, each by those before it, as the engine tells once."""

from collections.abc import Mapping
from dataclasses import dataclass

from frontend.generation.top_tokens import LEAST_LOGPROB, Speller, TopToken, ranked_rows
from frontend.triton.tensors import read_floats, read_ids

LOGPROBS = "prompt_log_probs"
TOP_IDS = "prompt_top_log_prob_ids"
TOP_LOGPROBS = "prompt_top_log_probs"
PROMPT_OUTPUTS = (LOGPROBS, TOP_IDS, TOP_LOGPROBS)


@dataclass(frozen=True, slots=True)
class PromptScore:
    """The log-prob of a token, and the likeliest tokens in its place, the best first."""

    logprob: float
    top: tuple[TopToken, ...]


async def read_prompt_scores(speller: Speller, outputs: Mapping[str, bytes]) -> tuple[PromptScore, ...]:
    """One for each token of the prompt but the first, or none: a single response has them."""
    if LOGPROBS not in outputs:
        return ()
    logprobs = [max(logprob, LEAST_LOGPROB) for logprob in read_floats(outputs[LOGPROBS])]
    top_ids = read_ids(outputs.get(TOP_IDS, b""))
    if not top_ids:
        return tuple(PromptScore(logprob, ()) for logprob in logprobs)
    top_logprobs = read_floats(outputs.get(TOP_LOGPROBS, b""))
    num_rows = max(len(logprobs), 1)
    rows = await ranked_rows(speller, top_ids, top_logprobs, num_rows, len(top_ids) // num_rows)
    return tuple(PromptScore(*score) for score in zip(logprobs, rows, strict=True))
