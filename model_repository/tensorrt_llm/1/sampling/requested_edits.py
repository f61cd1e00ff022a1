"""What a request's tensors change in the logits: penalties, biases, bad words, a least length, a guide."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import numpy as np
from contract.errors import InvalidInput
from contract.sampling import Sampling
from contract.stop_word_ids import read_words
from contract.tensors import Tensors
from guides.answer_guide import Guide, read_guide

from sampling.logit_edits import BadWords, Bias, LogitEdit, MinLength, Penalties


class Guides(Protocol):
    """Makes the edit that holds a text to a guide; raises InvalidInput for one that makes no sense."""

    def compile(self, guide: Guide, end_ids: Collection[int]) -> LogitEdit: ...


def penalty_edits(sampling: Sampling, prompt_ids: Sequence[int], vocab_size: int) -> Iterator[LogitEdit]:
    penalties = (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty)
    if penalties != (1.0, 0.0, 0.0):
        yield Penalties(prompt_ids, vocab_size, *penalties)


def word_edits(tensors: Tensors, vocab_size: int) -> Iterator[LogitEdit]:
    bias = tensors.get("embedding_bias")
    if bias is not None and bias.size:
        if bias.size != vocab_size or not np.isfinite(bias).all():
            raise InvalidInput("embedding_bias", f"must be {vocab_size} finite numbers, one for each id.")
        values = bias.reshape(-1)
        yield Bias({int(index): float(values[index]) for index in np.flatnonzero(values)})
    if words := read_words(tensors, "bad_words_list", vocab_size):
        yield BadWords(words)


def end_edits(
    tensors: Tensors, end_ids: Collection[int], min_new_tokens: int, guides: Guides
) -> Iterator[LogitEdit]:
    """The guide last: it has to know of nothing that may change a choice after it."""
    if min_new_tokens and end_ids:
        yield MinLength(end_ids, min_new_tokens)
    if guide := read_guide(tensors):
        yield guides.compile(guide, end_ids)
