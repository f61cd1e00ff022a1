"""The outputs of return_perf_metrics, which come all together."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from replay_kv_cache import BlockCounts


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
