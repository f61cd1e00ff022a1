"""How probable tokens are, those of the answer and those of the prompt, out of a response's tensors."""

from collections.abc import Mapping, Sequence

from frontend.errors import EngineFailed
from frontend.generation.delta import PromptScore, TopToken
from frontend.triton.response import LOGPROBS, TOP_OUTPUTS
from frontend.triton.tensors import read_floats, read_ids

CHOSEN_LOGPROBS, TOP_IDS, TOP_LOGPROBS = TOP_OUTPUTS
# Of the prompt's tokens but the first, each by those before it; the engine tells them once.
PROMPT_OUTPUTS = PROMPT_LOGPROBS, PROMPT_TOP_IDS, PROMPT_TOP_LOGPROBS = (
    "prompt_log_probs",
    "prompt_top_log_prob_ids",
    "prompt_top_log_probs",
)
# What OpenAI's API tells instead of the log-prob of a token that can't come; JSON knows no infinity.
LEAST_LOGPROB = -9999.0

Outputs = Mapping[str, bytes]


def read_logprobs(outputs: Outputs, num_before: int, num_top: int) -> list[float]:
    """Of the response's new tokens; `num_before` tokens came before them."""
    if num_top:
        return read_floats(outputs[CHOSEN_LOGPROBS])
    # The engine repeats the log-probs of all tokens so far in every response.
    return read_floats(outputs[LOGPROBS], skip=num_before)


def read_top_tokens(
    outputs: Outputs, vocabulary: Sequence[bytes], num_tokens: int, num_top: int
) -> list[tuple[TopToken, ...]]:
    """A row of num_top for each new token of the response, the best first; raises EngineFailed."""
    if not num_top or not num_tokens:
        return []
    try:
        ids, logprobs = read_ids(outputs[TOP_IDS]), read_floats(outputs[TOP_LOGPROBS])
    except KeyError as error:
        raise EngineFailed("The engine's answer lacks a tensor.") from error
    return _ranked_rows(vocabulary, ids, logprobs, num_tokens, num_top)


def read_prompt_scores(outputs: Outputs, vocabulary: Sequence[bytes]) -> tuple[PromptScore, ...]:
    """One for each token of the prompt but the first, or none: a single response has them."""
    if PROMPT_LOGPROBS not in outputs:
        return ()
    logprobs = [max(logprob, LEAST_LOGPROB) for logprob in read_floats(outputs[PROMPT_LOGPROBS])]
    top_ids = read_ids(outputs.get(PROMPT_TOP_IDS, b""))
    if not top_ids:
        return tuple(PromptScore(logprob, ()) for logprob in logprobs)
    top_logprobs = read_floats(outputs.get(PROMPT_TOP_LOGPROBS, b""))
    num_rows = max(len(logprobs), 1)
    rows = _ranked_rows(vocabulary, top_ids, top_logprobs, num_rows, len(top_ids) // num_rows)
    return tuple(PromptScore(*score) for score in zip(logprobs, rows, strict=True))


def spelled(vocabulary: Sequence[bytes], ids: Sequence[int]) -> list[bytes]:
    """The bytes of each id; raises IndexError for one that is none."""
    if ids and min(ids) < 0:
        raise IndexError(f"{min(ids)} is no token id")
    return [vocabulary[token_id] for token_id in ids]


def _ranked_rows(
    vocabulary: Sequence[bytes], ids: Sequence[int], logprobs: Sequence[float], num_rows: int, num_top: int
) -> list[tuple[TopToken, ...]]:
    """The first num_top of each row of equal length."""
    width, rest = divmod(len(ids), num_rows)
    if width < num_top or rest or len(ids) != len(logprobs):
        raise EngineFailed("The engine answered with a malformed tensor.")
    kept = [place for start in range(0, len(ids), width) for place in range(start, start + num_top)]
    pieces = spelled(vocabulary, [ids[place] for place in kept])
    tokens = [
        TopToken(piece, max(logprobs[place], LEAST_LOGPROB))
        for piece, place in zip(pieces, kept, strict=True)
    ]
    return [tuple(tokens[start : start + num_top]) for start in range(0, len(tokens), num_top)]
