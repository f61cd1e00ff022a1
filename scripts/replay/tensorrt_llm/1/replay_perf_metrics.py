"""The outputs of return_perf_metrics, and which part of a prompt a KV cache would hold."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

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
    """Blocks of ids that were seen behind the same beginning; those longest unused go first."""

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


class PerfMetrics:
    """Times are nanoseconds of the monotonic clock, 0 for what has not happened yet."""

    def __init__(self, blocks: BlockCounts, arrival_ns: int) -> None:
        self._first_token_ns = 0
        self._constant = {
            "kv_cache_alloc_new_blocks": _one(blocks.total - blocks.reused),
            "kv_cache_reused_blocks": _one(blocks.reused),
            "kv_cache_alloc_total_blocks": _one(blocks.total),
            "arrival_time_ns": _one(arrival_ns, np.int64),
            "first_scheduled_time_ns": _one(arrival_ns, np.int64),
            "acceptance_rate": _one(0, np.float32),
            "total_accepted_draft_tokens": _one(0),
            "total_draft_tokens": _one(0),
        }

    def tensors(self, num_ids: int) -> dict[str, NDArray[Any]]:
        """Of a response after so many ids of the text."""
        now = time.monotonic_ns()
        if num_ids and not self._first_token_ns:
            self._first_token_ns = now
        return {
            **self._constant,
            "first_token_time_ns": _one(self._first_token_ns, np.int64),
            "last_token_time_ns": _one(now if num_ids else 0, np.int64),
        }


def _one(value: float, data_type: Any = np.int32) -> NDArray[Any]:
    return np.array([[value]], data_type)
