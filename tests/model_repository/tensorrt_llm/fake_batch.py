"""The real batch on a decoder that has no model: given ids follow a prompt."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
from batching.kv_blocks import num_blocks_for
from batching.running_batch import RunningBatch
from batching.step_scheduler import Chunk, StepScheduler
from contract.tensors import Logits
from sampling.token_chooser import TokenChooser

Writer = Callable[[Sequence[int]], Iterator[int]]

VOCAB_SIZE = 100


class FakeDecoder:
    """The writer gives the ids that follow a prompt; before_step is called at the start of every step."""

    def __init__(self, writer: Writer, before_step: Callable[[], object] = lambda: None) -> None:
        self.num_steps = 0
        self._writer = writer
        self._before_step = before_step
        self._followers: dict[object, Iterator[int]] = {}
        self._written: dict[object, list[int]] = {}

    def infer(self, chunks: Sequence[Chunk]) -> Logits:
        self._before_step()
        self.num_steps += 1
        rows = [row for chunk in chunks if chunk.num_rows for row in self._rows(chunk)]
        return np.array(rows, np.float32).reshape(-1, VOCAB_SIZE)

    def _rows(self, chunk: Chunk) -> Iterator[Logits]:
        """After the ids, and after each guessed one."""
        prompt_ids = chunk.sequence.request.prompt_ids
        written = self._written.setdefault(chunk.sequence, [])
        follower = self._followers.setdefault(chunk.sequence, self._writer(prompt_ids))
        for place in range(chunk.end - len(prompt_ids), chunk.end - len(prompt_ids) + len(chunk.draft) + 1):
            written.extend(next(follower) for _ in range(len(written), place + 1))
            row = np.zeros(VOCAB_SIZE, np.float32)
            row[written[place]] = 10
            yield row


class FakeBatch(RunningBatch):
    def __init__(
        self,
        writer: Writer,
        max_num_seqs: int = 8,
        before_step: Callable[[], object] = lambda: None,
        max_kv_tokens: int = 1024,
    ) -> None:
        self.decoder = FakeDecoder(writer, before_step)
        scheduler = StepScheduler(num_blocks_for(max_kv_tokens), max_num_tokens=512, max_draft_len=5)
        super().__init__(self.decoder, scheduler, _chooser(), max_num_seqs, VOCAB_SIZE)


@cache
def _chooser() -> TokenChooser:
    return TokenChooser(VOCAB_SIZE)
