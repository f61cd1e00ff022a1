"""The inputs of the decoder for one step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from batching.kv_blocks import num_blocks_for
from batching.step_scheduler import Chunk
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Span:
    """Ids computed at once, from a place in their text on, and the text's blocks up to their end."""

    ids: Sequence[int]
    start: int
    blocks: Sequence[int]
    num_rows: int

    @property
    def end(self) -> int:
        return self.start + len(self.ids)


def step_tensors(chunks: Sequence[Chunk]) -> dict[str, NDArray[np.int64] | NDArray[np.int32]]:
    """All ids one after another, where each span and its blocks begin, and the rows to make logits of."""
    spans = [span for chunk in chunks for span in _spans(chunk)]
    ends = np.cumsum([len(span.ids) for span in spans])
    return {
        "input_ids": np.concatenate([span.ids for span in spans]),
        "position_ids": np.concatenate([np.arange(span.start, span.end) for span in spans]),
        "subsequence_begins": _begins(ends),
        "block_indices": np.concatenate([span.blocks for span in spans]).astype(np.int32),
        "block_indices_begins": _begins(np.cumsum([len(span.blocks) for span in spans])),
        "rows": _rows(spans, ends),
    }


def _spans(chunk: Chunk) -> Iterator[Span]:
    """Drafted ids each by itself: computed, to the last bit, as in a step of its own."""
    ids, blocks = chunk.sequence.ids, chunk.sequence.table.blocks
    held = blocks[: num_blocks_for(chunk.end)]
    yield Span(ids[chunk.start : chunk.end], chunk.start, held, chunk.num_rows)
    for place, token_id in enumerate(chunk.draft, chunk.end):
        yield Span([token_id], place, blocks[: num_blocks_for(place + 1)], 1)


def _rows(spans: Sequence[Span], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(
        [np.arange(end - span.num_rows, end) for span, end in zip(spans, ends, strict=True)]
    )


def _begins(ends: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.concatenate([[0], ends]).astype(np.int32)
