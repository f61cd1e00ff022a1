"""The prompts that a completion repeats before its answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from frontend.api.completions.request import CompletionRequest
from frontend.errors import InvalidRequest
from frontend.generation.logprobs import spelled
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton


@dataclass(frozen=True, slots=True)
class EchoToken:
    """A token of a prompt; a special one, such as the BOS, may be left out of the text."""

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
        # What the tokenizer puts before a text is special, and no part of it.
        return Echo(prompt, _tokens(model, ids, keeps_special=False))
    # Who writes ids means each of them.
    tokens = _tokens(model, prompt, keeps_special=True)
    text = b"".join(token.bytes for token in tokens if token.is_in_text).decode("utf-8", "replace")
    return Echo(text, tokens if completion.scores_prompt else ())


def _tokens(model: ServedModel, ids: Sequence[int], keeps_special: bool) -> tuple[EchoToken, ...]:
    """Raises InvalidRequest for an id that is none of the model's."""
    if max(ids, default=0) >= model.vocab_size:
        raise InvalidRequest(f"prompt: the ids must be below {model.vocab_size}.", "prompt")
    pieces = spelled(model.vocabulary, ids)
    return tuple(
        EchoToken(piece, keeps_special or token_id not in model.special_ids)
        for token_id, piece in zip(ids, pieces, strict=True)
    )
