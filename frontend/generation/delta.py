"""What a generation gives to those who answer with it: plain types."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class TopToken:
    """A token that might have come, and its log-prob."""

    bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Token:
    """A generated token, its log-prob, and the likeliest tokens in its place, the best first."""

    bytes: bytes
    logprob: float
    top: tuple[TopToken, ...] = ()
    is_in_text: bool = True
    """False for a special token that the text leaves out."""


@dataclass(frozen=True, slots=True)
class PromptScore:
    """The log-prob of a prompt's token, and the likeliest tokens in its place, the best first."""

    logprob: float
    top: tuple[TopToken, ...]


@dataclass(slots=True)
class Delta:
    """What one response of the engine adds to the choice `index`.

    Counts are those of the whole generation so far. Not frozen: that would take twice as long to make.
    """

    index: int
    text: str
    tokens: tuple[Token, ...]
    """Only when log-probs are asked for."""
    num_prompt_tokens: int
    num_completion_tokens: int
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    num_cached_tokens: int | None = None
    """Of the prompt, those that the engine had computed before; None: it does not tell."""
    prompt_scores: tuple[PromptScore, ...] = ()
    """Of the prompt's tokens but the first; in the first delta alone, and only when asked for."""


def usage(last: Iterable[Delta], num_choices: int) -> dict[str, Any]:
    """Token counts out of the last delta of each choice; a prompt with several choices counts once."""
    prompts: dict[int, int] = {}
    cached: dict[int, int] = {}
    num_completion_tokens = 0
    for delta in last:
        prompt = delta.index // num_choices
        prompts[prompt] = delta.num_prompt_tokens
        if delta.num_cached_tokens is not None:
            # Of several choices, the later ones find what the first has just computed.
            cached[prompt] = min(cached.get(prompt, delta.num_cached_tokens), delta.num_cached_tokens)
        num_completion_tokens += delta.num_completion_tokens
    num_prompt_tokens = sum(prompts.values())
    counts = {
        "prompt_tokens": num_prompt_tokens,
        "total_tokens": num_prompt_tokens + num_completion_tokens,
        "completion_tokens": num_completion_tokens,
    }
    num_cached_tokens = sum(cached.values())
    # Else the Lambda Chat API's object, to the key.
    return (
        counts | {"prompt_tokens_details": {"cached_tokens": num_cached_tokens}}
        if num_cached_tokens
        else counts
    )
