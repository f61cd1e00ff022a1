"""The real pipeline on a decoder that has no model: given ids follow a prompt."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from kv_blocks import num_blocks_for
from paged_pipeline import PagedPipeline
from step_scheduler import Chunk, StepScheduler
from token_chooser import TokenChooser
from token_scores import Logits

Writer = Callable[[Sequence[int]], Iterator[int]]

VOCAB_SIZE = 100


class FakeDecoder:
    """The writer gives the ids that follow a prompt; before_step is called at the start of every step."""

    def __init__(self, writer: Writer, before_step: Callable[[], object] = lambda: None) -> None:
        self.num_steps = 0
        self._writer = writer
        self._before_step = before_step
        self._followers: dict[object, Iterator[int]] = {}

    def infer(self, chunks: Sequence[Chunk]) -> Logits:
        self._before_step()
        self.num_steps += 1
        rows = [self._row(chunk) for chunk in chunks if chunk.num_rows]
        return np.array(rows, np.float32).reshape(-1, VOCAB_SIZE)

    def _row(self, chunk: Chunk) -> Logits:
        sequence = chunk.sequence
        if sequence not in self._followers:
            self._followers[sequence] = self._writer(sequence.request.prompt_ids)
        row = np.zeros(VOCAB_SIZE, np.float32)
        row[next(self._followers[sequence])] = 10
        return row


class FakePipeline(PagedPipeline):
    def __init__(
        self,
        writer: Writer,
        before_step: Callable[[], object] = lambda: None,
        max_kv_tokens: int = 1024,
    ) -> None:
        self.decoder = FakeDecoder(writer, before_step)
        scheduler = StepScheduler(num_blocks_for(max_kv_tokens), max_num_tokens=512)
        super().__init__(self.decoder, scheduler, _chooser())


@cache
def _chooser() -> TokenChooser:
    return TokenChooser(VOCAB_SIZE)
