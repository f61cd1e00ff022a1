"""A generation as the batch computes it: its ids, its place in the KV cache, and what it may go on with."""

from collections.abc import Sequence

from contract.generation import Generation, TokenScore
from sampling.logit_edits import LogitEdit
from sampling.token_sampler import TokenSampler

from batching.kv_blocks import BlockTable

# A row of logits for every id of a prompt is large: 128,256 floats for Llama 3.1.
_MAX_SCORED_TOKENS = 64
# Longest first. One id alone drafts too much that is wrong: 1.33 ids a step at 1.9 rows with these two, 1.40
# at 3.4 rows with single ids too (SmolLM2-135M-Instruct, ten chats of 140 ids, five drafted at a time).
_NGRAM_LENGTHS = (3, 2)


class PagedSequence:
    """num_computed of its ids are in the KV cache; the edits are its own."""

    def __init__(self, generation: Generation, edits: Sequence[LogitEdit] = ()) -> None:
        self.generation = generation
        self.request = generation.request
        self.edits = edits
        self.ids = list(self.request.prompt_ids)
        self.sampler = TokenSampler(self.request.sampling)
        self.table = BlockTable()
        self._lookup = PromptLookup()
        self.num_computed = 0

    @property
    def prompt_scores(self) -> list[TokenScore]:
        return self.generation.prompt_scores

    @property
    def num_pending(self) -> int:
        return len(self.ids) - self.num_computed

    @property
    def max_step_tokens(self) -> int:
        return min(self.num_pending, _MAX_SCORED_TOKENS) if self.is_scoring_prompt else self.num_pending

    @property
    def max_reused_tokens(self) -> int:
        """Only what is computed gives logits, and those after the last id are always wanted."""
        return len(self.prompt_scores) if self.is_scoring_prompt else len(self.ids) - 1

    @property
    def is_scoring_prompt(self) -> bool:
        """The first id of a prompt has no score."""
        wants_scores = self.request.num_prompt_log_probs >= 0
        return wants_scores and len(self.prompt_scores) < len(self.request.prompt_ids) - 1

    def draft(self, max_tokens: int) -> Sequence[int]:
        """Ids that may follow."""
        return self._lookup.draft(self.ids, max_tokens)

    def append(self, token_id: int) -> None:
        self.ids.append(token_id)
        for edit in self.edits:
            edit.note(token_id)


class PromptLookup:
    """Drafts what a text, which only grows, goes on with: what followed its last ids before.

    Prompt lookup decoding (https://github.com/apoorvumang/prompt-lookup-decoding): a draft costs no model,
    and the real one checks it in the step that would have given one id.
    """

    def __init__(self) -> None:
        self._follower: dict[tuple[int, ...], int] = {}
        self._num_read = 0

    def draft(self, ids: Sequence[int], max_tokens: int) -> Sequence[int]:
        """The ids that followed the latest earlier place that reads like the end; none if there is none."""
        self._read(ids)
        for length in _NGRAM_LENGTHS:
            start = self._follower.get(tuple(ids[-length:]))
            if start is not None:
                return ids[start : start + max_tokens]
        return ()

    def _read(self, ids: Sequence[int]) -> None:
        """Notes the place behind every run of ids but the last, which nothing follows yet."""
        for place in range(self._num_read, len(ids)):
            for length in _NGRAM_LENGTHS:
                if place >= length:
                    self._follower[tuple(ids[place - length : place])] = place
        self._num_read = len(ids)
