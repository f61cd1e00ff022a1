"""Which ids of which sequences the next step computes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from batching.kv_blocks import KvBlocks, num_blocks_for
from batching.paged_sequence import PagedSequence

# Up to here a step's time hardly grows with its rows: it reads all weights anyway.
_MAX_DRAFTING_STEP_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """Ids of a sequence, next to those in the KV cache; logits are wanted after the last num_rows of them.

    is_last says that an id can be chosen after it. The draft, ids that may follow, gives a row each.
    """

    sequence: PagedSequence
    start: int
    num_tokens: int
    num_rows: int
    is_last: bool
    draft: Sequence[int] = ()

    @property
    def end(self) -> int:
        return self.start + self.num_tokens


class StepScheduler:
    """First come, first served: the youngest sequences lose their blocks when older ones need them.

    max_num_tokens counts those of one step; a sequence that only lacks its last id is never held up by it.
    max_draft_len counts the guessed ids of one sequence in one step.
    """

    def __init__(self, num_blocks: int, max_num_tokens: int, max_draft_len: int) -> None:
        self.num_blocks = num_blocks
        self._max_num_tokens = max_num_tokens
        self._max_draft_len = max_draft_len
        self._kv = KvBlocks(num_blocks)
        self._running: list[PagedSequence] = []
        self._displaced: list[PagedSequence] = []

    @property
    def has_work(self) -> bool:
        return bool(self._running or self._displaced)

    @property
    def num_used_blocks(self) -> int:
        """Of the KV cache; those that only wait to be reused do not count."""
        return self.num_blocks - self._kv.num_available

    def has_room_for(self, num_tokens: int) -> bool:
        """Whether a prompt of this length can start without anyone being displaced at once."""
        return not self._displaced and self._fits(num_tokens)

    def start(self, sequence: PagedSequence) -> None:
        self._run(sequence)
        sequence.generation.num_reused_blocks = sequence.table.num_known

    def stop(self, sequence: PagedSequence) -> None:
        self._kv.close(sequence.table)
        for sequences in (self._running, self._displaced):
            if sequence in sequences:
                sequences.remove(sequence)

    def plan(self) -> list[Chunk]:
        while self._displaced and self._fits(len(self._displaced[-1].ids)):
            self._run(self._displaced.pop())
        left = self._max_num_tokens - sum(sequence.num_pending == 1 for sequence in self._running)
        chunks = []
        for sequence in list(self._running):
            num_tokens = sequence.max_step_tokens
            if num_tokens > 1:
                num_tokens = min(num_tokens, max(left, 0))
                left -= num_tokens
            if num_tokens and self._grow(sequence, num_tokens):
                chunks.append(_next_chunk(sequence, num_tokens))
        return self._with_drafts(chunks)

    def settle(self, chunks: list[Chunk]) -> None:
        """Takes note that the chunks are in the KV cache."""
        for chunk in chunks:
            sequence = chunk.sequence
            sequence.num_computed = chunk.end
            self._kv.remember(sequence.table, sequence.ids, sequence.num_computed)

    def _with_drafts(self, chunks: list[Chunk]) -> list[Chunk]:
        if not all(chunk.is_last and chunk.num_tokens == 1 for chunk in chunks):
            return chunks
        spare = _MAX_DRAFTING_STEP_TOKENS - len(chunks)
        num_tokens = min(spare // max(len(chunks), 1), self._max_draft_len)
        return [self._with_draft(chunk, num_tokens) for chunk in chunks] if num_tokens > 0 else chunks

    def _with_draft(self, chunk: Chunk, max_tokens: int) -> Chunk:
        draft = chunk.sequence.draft(max_tokens)
        if not draft or not self._kv.grow(chunk.sequence.table, chunk.end + len(draft)):
            return chunk
        return replace(chunk, draft=draft)

    def _fits(self, num_tokens: int) -> bool:
        """With room for one more id in every sequence."""
        num_needed = num_blocks_for(num_tokens + 1)
        num_needed += sum(num_blocks_for(len(sequence.ids) + 1) for sequence in self._running)
        return num_needed <= self.num_blocks

    def _run(self, sequence: PagedSequence) -> None:
        sequence.table = self._kv.open(sequence.ids, sequence.max_reused_tokens)
        sequence.num_computed = sequence.table.num_known_tokens
        self._running.append(sequence)

    def _grow(self, sequence: PagedSequence, num_tokens: int) -> bool:
        """False when the sequence itself had to go."""
        while sequence in self._running:
            if self._kv.grow(sequence.table, sequence.num_computed + num_tokens):
                return True
            self._displace_youngest()
        return False

    def _displace_youngest(self) -> None:
        sequence = self._running.pop()
        self._kv.close(sequence.table)
        self._displaced.append(sequence)


def _next_chunk(sequence: PagedSequence, num_tokens: int) -> Chunk:
    is_last = num_tokens == sequence.num_pending
    num_rows = num_tokens if sequence.is_scoring_prompt else int(is_last)
    return Chunk(sequence, sequence.num_computed, num_tokens, num_rows, is_last)
