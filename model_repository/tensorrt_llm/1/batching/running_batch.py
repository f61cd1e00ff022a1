"""The generations that run now, a step at a time; but for `load`, for one thread only."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from contract.generation import Generation
from contract.metrics import EngineLoad
from contract.tensors import Logits
from decoder.choice import Decoder, open_decoder
from sampling.token_chooser import Choice, TokenChooser

from batching.kv_blocks import BLOCK_TOKENS, num_blocks_for
from batching.paged_sequence import PagedSequence
from batching.step_scheduler import Chunk, StepScheduler


class RunningBatch:
    """Runs max_num_seqs at once, as long as the KV cache has room for them."""

    def __init__(
        self,
        decoder: Decoder,
        scheduler: StepScheduler,
        chooser: TokenChooser,
        max_num_seqs: int,
        vocab_size: int,
    ) -> None:
        """vocab_size: the tokenizer's ids; what the decoder has beyond them is never chosen."""
        self._decoder = decoder
        self._vocab_size = vocab_size
        self._scheduler = scheduler
        self._chooser = chooser
        self._max_num_seqs = max_num_seqs
        self._running: dict[PagedSequence, None] = {}
        self._num_steps = 0

    @property
    def has_work(self) -> bool:
        return bool(self._running)

    def load(self, num_waiting: int) -> EngineLoad:
        """May be asked from any thread."""
        return EngineLoad(
            max_requests=self._max_num_seqs,
            num_running=len(self._running),
            num_waiting=num_waiting,
            num_blocks=self._scheduler.num_blocks,
            num_used_blocks=self._scheduler.num_used_blocks,
            tokens_per_block=BLOCK_TOKENS,
            num_steps=self._num_steps,
        )

    def has_room_for(self, sequence: PagedSequence) -> bool:
        return len(self._running) < self._max_num_seqs and self._scheduler.has_room_for(len(sequence.ids))

    def start(self, sequence: PagedSequence) -> None:
        self._running[sequence] = None
        self._scheduler.start(sequence)

    def step(self) -> None:
        """Generates one id or more for every request, or takes in a part of a prompt, and passes it on."""
        self._num_steps += 1
        for choice in self._compute():
            # What was drafted beyond the end of a text belongs to nobody.
            if choice.sequence not in self._running:
                continue
            if choice.refusal is not None:
                self._leave(choice.sequence).refuse(choice.refusal)
            else:
                generation = choice.sequence.generation
                generation.add(choice.token_id, choice.log_prob, choice.logits)
                if generation.is_complete:
                    self._leave(choice.sequence).finish()
        for sequence in self._running:
            sequence.generation.send_progress()

    def end_where(self, is_unwanted: Callable[[Generation], bool]) -> None:
        for sequence in [it for it in self._running if is_unwanted(it.generation)]:
            self._leave(sequence).finish()

    def fail_all(self, message: str) -> None:
        for sequence in list(self._running):
            self._leave(sequence).fail(message)

    def _leave(self, sequence: PagedSequence) -> Generation:
        self._scheduler.stop(sequence)
        del self._running[sequence]
        return sequence.generation

    def _compute(self) -> list[Choice]:
        """An id or more for each sequence that is in the KV cache, and a part of their ids for others."""
        chunks = self._scheduler.plan()
        logits = self._decoder.infer(chunks)
        logits[:, self._vocab_size :] = -np.inf
        self._scheduler.settle(chunks)
        first_rows = []
        end = 0
        for chunk in chunks:
            start, end = end, end + chunk.num_rows
            if chunk.sequence.is_scoring_prompt:
                self._score_prompt(chunk, logits[start:end])
            if chunk.is_last:
                first_rows.append((end - 1, chunk))
            end += len(chunk.draft)
        return self._choose(logits, first_rows)

    def _choose(self, logits: Logits, rows: list[tuple[int, Chunk]]) -> list[Choice]:
        """Goes on to a chunk's next row as long as the id chosen is the one that was drafted."""
        choices: list[Choice] = []
        num_right = 0
        while rows:
            # A selection copies, which takes as long as everything else here together.
            wanted = logits if len(rows) == len(logits) else logits[[row for row, _ in rows]]
            chosen = self._chooser.choose(wanted, [chunk.sequence for _, chunk in rows])
            choices += chosen
            for choice in chosen:
                if choice.token_id is not None:
                    choice.sequence.append(choice.token_id)
            rows = [
                (row + 1, chunk)
                for (row, chunk), choice in zip(rows, chosen, strict=True)
                if chunk.draft[num_right : num_right + 1] == [choice.token_id]
            ]
            for _, chunk in rows:
                chunk.sequence.num_computed += 1
            num_right += 1
        return choices

    def _score_prompt(self, chunk: Chunk, logits: Logits) -> None:
        """Each row is about the id that follows its own."""
        request, scores = chunk.sequence.request, chunk.sequence.prompt_scores
        ids = request.prompt_ids[len(scores) + 1 : chunk.end + 1]
        # Computed again, if the sequence lost its blocks in between.
        num_known = len(scores) - chunk.start
        scores += self._chooser.score(
            logits[num_known : num_known + len(ids)], ids, request.num_prompt_log_probs
        )


def open_batch(
    engine: Path,
    vocab_size: int,
    max_kv_tokens: int,
    max_num_tokens: int,
    max_draft_len: int,
    max_num_seqs: int,
) -> RunningBatch:
    """Takes an engine's folder, the tokenizer's ids, the tokens of the KV cache, and the most of one step."""
    num_blocks = num_blocks_for(max_kv_tokens)
    decoder = open_decoder(engine, num_blocks)
    scheduler = StepScheduler(num_blocks, max_num_tokens, max_draft_len)
    return RunningBatch(decoder, scheduler, TokenChooser(decoder.vocab_size), max_num_seqs, vocab_size)
