"""Which part of a prompt a KV cache would hold: blocks of ids that were seen behind the same beginning."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# About what 40 GB hold of Llama 3.1 8B, at 128 kB a token and 32 tokens a block.
MAX_BLOCKS = 10_000


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """Blocks that a prompt takes, and those of them that were there before."""

    total: int
    reused: int


class ReplayKvCache:
    """The blocks that were not used for the longest time go first."""

    def __init__(self, tokens_per_block: int) -> None:
        self._tokens_per_block = tokens_per_block
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def take_up(self, prompt_ids: NDArray[np.int32], adapter: int) -> BlockCounts:
        """Counts and keeps the blocks of a prompt; a block is kept once it is full."""
        size = self._tokens_per_block
        # The last token is always computed, or there would be nothing to choose the first new one by.
        num_full = (len(prompt_ids) - 1) // size
        reused, is_known, beginning = 0, True, adapter
        for number in range(num_full):
            beginning = hash((beginning, prompt_ids[number * size : (number + 1) * size].tobytes()))
            is_known = is_known and beginning in self._blocks
            reused += is_known
            self._keep(beginning)
        return BlockCounts(-(-len(prompt_ids) // size), reused)

    def _keep(self, block: int) -> None:
        self._blocks[block] = None
        self._blocks.move_to_end(block)
        if len(self._blocks) > MAX_BLOCKS:
            self._blocks.popitem(last=False)
