"""What a request's tensors change in the logits: penalties, biases, bad words, a least length, a guide."""

from collections.abc import Collection, Iterator
from typing import Protocol

import numpy as np
from contract.request import GenerationRequest
from contract.stop_word_ids import read_words
from contract.tensors import InvalidInput, Tensors
from guides.answer_guide import Guide, read_guide
from sampling.logit_edits import BadWords, Bias, LogitEdit, MinLength, Penalties


class Guides(Protocol):
    """Makes the edit that holds a text to a guide; raises InvalidInput for one that makes no sense."""

    def compile(self, guide: Guide, end_ids: Collection[int]) -> LogitEdit: ...


def read_edits(
    tensors: Tensors, request: GenerationRequest, vocab_size: int, guides: Guides
) -> tuple[LogitEdit, ...]:
    """The guide last: it has to know of nothing that may change a choice after it. Raises InvalidInput."""
    return (
        *_penalty_edits(request, vocab_size),
        *_word_edits(tensors, vocab_size),
        *_end_edits(tensors, request, guides),
    )


def _penalty_edits(request: GenerationRequest, vocab_size: int) -> Iterator[LogitEdit]:
    sampling = request.sampling
    penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
    if penalties != (1.0, 0.0, 0.0):
        yield Penalties(request.prompt_ids, vocab_size, *penalties)


def _word_edits(tensors: Tensors, vocab_size: int) -> Iterator[LogitEdit]:
    bias = tensors.get("embedding_bias")
    if bias is not None and bias.size:
        if bias.size != vocab_size or not np.isfinite(bias).all():
            raise InvalidInput("embedding_bias", f"must be {vocab_size} finite numbers, one for each id.")
        values = bias.reshape(-1)
        yield Bias({int(index): float(values[index]) for index in np.flatnonzero(values)})
    if words := read_words(tensors, "bad_words_list", vocab_size):
        yield BadWords(words)


def _end_edits(tensors: Tensors, request: GenerationRequest, guides: Guides) -> Iterator[LogitEdit]:
    end_ids = request.end_ids
    if request.min_new_tokens and end_ids:
        yield MinLength(end_ids, request.min_new_tokens)
    if guide := read_guide(tensors):
        yield guides.compile(guide, end_ids)
