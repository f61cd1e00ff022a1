"""In-flight batching over the paged model: sequences start and stop between its steps."""

from pathlib import Path

from decoder.choice import Decoder, open_decoder
from sampling.token_chooser import Choice, TokenChooser
from sampling.token_scores import Logits

from batching.kv_blocks import num_blocks_for
from batching.paged_sequence import DecodingRequest, PagedSequence
from batching.step_scheduler import Chunk, StepScheduler


class PagedPipeline:
    """Not safe to share between threads."""

    def __init__(self, model: Decoder, scheduler: StepScheduler, chooser: TokenChooser) -> None:
        self._model = model
        self._scheduler = scheduler
        self._chooser = chooser

    @property
    def has_work(self) -> bool:
        return self._scheduler.has_work

    @property
    def num_blocks(self) -> int:
        """Of the KV cache."""
        return self._scheduler.num_blocks

    @property
    def num_used_blocks(self) -> int:
        return self._scheduler.num_used_blocks

    def has_room_for(self, num_prompt_tokens: int) -> bool:
        """Whether the KV cache takes such a prompt besides what runs."""
        return self._scheduler.has_room_for(num_prompt_tokens)

    def start(self, request: DecodingRequest) -> PagedSequence:
        sequence = PagedSequence(request)
        self._scheduler.start(sequence)
        return sequence

    def stop(self, sequence: PagedSequence) -> None:
        """Has to be called for every sequence: none ends by itself."""
        self._scheduler.stop(sequence)

    def step(self) -> list[Choice]:
        """An id or more for each sequence that is in the KV cache, and a part of their ids for others."""
        chunks = self._scheduler.plan()
        logits = self._model.infer(chunks)
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
        return self._write(logits, first_rows)

    def _write(self, logits: Logits, rows: list[tuple[int, Chunk]]) -> list[Choice]:
        """Goes on to a chunk's next row as long as the id chosen is the one that was drafted."""
        choices: list[Choice] = []
        num_right = 0
        while rows:
            chosen = self._choose(logits, [row for row, _ in rows], [chunk.sequence for _, chunk in rows])
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

    def _choose(self, logits: Logits, rows: list[int], sequences: list[PagedSequence]) -> list[Choice]:
        # A selection copies, which takes as long as everything else here together.
        return self._chooser.choose(logits if len(rows) == len(logits) else logits[rows], sequences)

    def _score_prompt(self, chunk: Chunk, logits: Logits) -> None:
        """Each row is about the id that follows its own."""
        request, scores = chunk.sequence.request, chunk.sequence.prompt_scores
        ids = request.prompt_ids[len(scores) + 1 : chunk.end + 1]
        # Computed again, if the sequence lost its blocks in between.
        num_known = len(scores) - chunk.start
        scores += self._chooser.score(logits[num_known : num_known + len(ids)], ids, request.num_top)


def open_paged_pipeline(
    engine: Path, max_kv_tokens: int, max_num_tokens: int, max_draft_len: int
) -> PagedPipeline:
    """Takes an engine's folder, the tokens that its KV cache holds, and the most of one step."""
    num_blocks = num_blocks_for(max_kv_tokens)
    model = open_decoder(engine, num_blocks)
    return PagedPipeline(
        model, StepScheduler(num_blocks, max_num_tokens, max_draft_len), TokenChooser(model.vocab_size)
    )
