"""The prompts that a completion repeats before its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from frontend.api.completions.request import CompletionRequest
from frontend.errors import InvalidRequest
from frontend.generation.logprobs import spelled
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton


@dataclass(frozen=True, slots=True)
class EchoToken:
    """A token of a prompt; what the tokenizer puts before, such as the BOS, is none of the text."""

    bytes: bytes
    is_in_text: bool


@dataclass(frozen=True, slots=True)
class Echo:
    """The text of a prompt; its tokens only where log-probs are asked for."""

    text: str
    tokens: tuple[EchoToken, ...] = ()


async def echoed_prompts(triton: Triton, model: ServedModel, completion: CompletionRequest) -> list[Echo]:
    """One for each prompt, none unless asked for; raises InvalidRequest for a prompt that has no tokens."""
    if not completion.echo:
        return []
    return [await _echo(triton, model, completion, prompt) for prompt in completion.prompts]


async def _echo(
    triton: Triton, model: ServedModel, completion: CompletionRequest, prompt: str | list[int]
) -> Echo:
    if isinstance(prompt, str):
        if not completion.scores_prompt:
            return Echo(prompt)
        adds = completion.add_special_tokens
        ids = await triton.preprocess(model, {"text_input": prompt, "add_special_tokens": adds})
        return Echo(prompt, _tokens(model, ids, _num_before(model, ids, prompt)))
    # Who writes ids means each of them.
    tokens = _tokens(model, prompt, num_before=0)
    text = b"".join(token.bytes for token in tokens if token.is_in_text).decode("utf-8", "replace")
    return Echo(text, tokens if completion.scores_prompt else ())


def _num_before(model: ServedModel, ids: Sequence[int], prompt: str) -> int:
    """How many ids the tokenizer has put before the prompt: special ones, with which it does not begin."""
    names = (model.vocabulary[token_id] if token_id in model.special_ids else None for token_id in ids)
    foreign = takewhile(lambda name: name is not None and not prompt.encode().startswith(name), names)
    return sum(1 for _ in foreign)


def _tokens(model: ServedModel, ids: Sequence[int], num_before: int) -> tuple[EchoToken, ...]:
    """Those of the prompt, behind what was put before it; raises InvalidRequest for an id of no model."""
    if max(ids, default=0) >= model.vocab_size:
        raise InvalidRequest(f"prompt: the ids must be below {model.vocab_size}.", "prompt")
    pieces = spelled(model.vocabulary, ids)
    return tuple(EchoToken(piece, place >= num_before) for place, piece in enumerate(pieces))
