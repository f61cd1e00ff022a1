"""A text in the making, as the paged pipeline sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

from contract.sampling import Sampling
from sampling.logit_edits import LogitEdit
from sampling.token_sampler import TokenSampler
from sampling.token_scores import TokenScore

from batching.kv_blocks import BlockTable
from batching.prompt_lookup import PromptLookup

# A row of logits for every id of a prompt is large: 128,256 floats for Llama 3.1.
_MAX_SCORED_TOKENS = 64


@dataclass(frozen=True, slots=True)
class DecodingRequest:
    """num_top, 64 at most, counts the alternatives of a prompt's scores; the edits are its own."""

    prompt_ids: Sequence[int]
    sampling: Sampling
    edits: Sequence[LogitEdit] = ()
    wants_log_probs: bool = False
    wants_logits: bool = False
    wants_prompt_scores: bool = False
    num_top: int = 0


class PagedSequence:
    """num_computed of its ids are in the KV cache, num_reused of them from before it started."""

    def __init__(self, request: DecodingRequest) -> None:
        self.request = request
        self.ids = list(request.prompt_ids)
        self.prompt_scores: list[TokenScore] = []
        self.sampler = TokenSampler(request.sampling)
        self.table = BlockTable()
        self._lookup = PromptLookup()
        self.num_computed = 0
        self.num_reused = 0

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
        return self.request.wants_prompt_scores and len(self.prompt_scores) < len(self.request.prompt_ids) - 1

    def draft(self, max_tokens: int) -> Sequence[int]:
        """Ids that may follow."""
        return self._lookup.draft(self.ids, max_tokens)

    def append(self, token_id: int) -> None:
        self.ids.append(token_id)
        for edit in self.request.edits:
            edit.note(token_id)
