"""The tensors of one response, by the contract of TensorRT-LLM's C++ backend."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from replay_perf_metrics import PerfMetrics
from replay_request import ReplayRequest

_REQUIRED_OUTPUTS = ("output_ids", "sequence_length")

# Probabilities are a known function of the position, the same in log-probs and logits.
_NUM_RANKED = 20
# Logits below the chosen one's: 19 ids that share half of its probability.
_DISTANCES = 3.0 + 0.1 * np.arange(_NUM_RANKED - 1)


class UnfilledResponse(Exception):
    """Raised when a response can't be filled: the backend sends the text, and it is the request's last."""


@dataclass(frozen=True, slots=True)
class Progress:
    """New ids of one sequence; first is how many were generated before them."""

    first: int
    ids: NDArray[np.int32]


class ResponseBuilder:
    """Of one sequence: holds what does not change from response to response."""

    def __init__(
        self,
        request: ReplayRequest,
        batch: tuple[int, int],
        vocab_size: int,
        wanted: Collection[str],
        metrics: PerfMetrics,
    ) -> None:
        """batch: the place in it, and how many there are."""
        self._request = request
        self._vocab_size = vocab_size
        self._wanted = wanted
        self._metrics = metrics
        self._constant: dict[str, NDArray[Any]] = {}
        place, size = batch
        if request.returns_num_input_tokens and "num_input_tokens" in wanted:
            self._constant["num_input_tokens"] = _one(len(request.prompt_ids))
        if size > 1 and "batch_index" in wanted:
            self._constant["batch_index"] = _one(place)

    @property
    def num_prompt_ids(self) -> int:
        return len(self._request.prompt_ids)

    @property
    def is_streaming(self) -> bool:
        return self._request.is_streaming

    def tensors(self, progress: Progress) -> dict[str, NDArray[Any]]:
        """Shapes, for n ids in this response of m so far: output_ids [1, 1, n], sequence_length [1, 1],
        output_log_probs [1, 1, m], cum_log_probs [1, 1], the counts [1, 1]; generation_logits
        [1, n, 1, vocabulary] to a client that streams and [1, 1, longest, vocabulary] to one that does not.
        """
        self._require_outputs()
        request, ids = self._request, progress.ids
        shown = np.concatenate([request.prompt_ids, ids]) if request.repeats_prompt else ids
        tensors = {
            "output_ids": shown.reshape(1, 1, -1),
            "sequence_length": _one(len(shown)),
            **self._constant,
        }
        if request.returns_log_probs:
            log_probs = self._log_probs(progress.first + len(ids))
            tensors |= {name: value for name, value in log_probs.items() if name in self._wanted}
        if request.returns_generation_logits and "generation_logits" in self._wanted:
            tensors["generation_logits"] = self._logits(progress)
        if request.returns_num_output_tokens and "num_output_tokens" in self._wanted:
            tensors["num_output_tokens"] = _one(len(shown))
        if request.returns_perf_metrics:
            # All ten, asked for or not.
            tensors |= self._metrics.tensors(progress.first + len(ids))
        return tensors

    def _require_outputs(self) -> None:
        for name in _REQUIRED_OUTPUTS:
            if name not in self._wanted:
                raise UnfilledResponse(
                    "Error encountered while populating response:"
                    f" {name} tensor must be present in list of output tensors"
                )

    def _log_probs(self, num_ids: int) -> dict[str, NDArray[Any]]:
        values = _log_probs(0, num_ids) if self._request.has_log_probs else np.zeros(num_ids, np.float32)
        return {
            "output_log_probs": values.reshape(1, 1, -1),
            "cum_log_probs": np.array([[values.sum()]], np.float32),
        }

    def _logits(self, progress: Progress) -> NDArray[np.float32]:
        rows = _logits(progress.first, progress.ids, self._vocab_size)
        if self._request.is_streaming:
            return rows.reshape(1, len(rows), 1, self._vocab_size)
        # The buffer has a row for each token that was allowed; nothing is in those that were not written.
        buffer = np.zeros((1, 1, self._request.max_new_tokens, self._vocab_size), np.float32)
        buffer[0, 0, : len(rows)] = rows
        return buffer


def _one(value: int) -> NDArray[np.int32]:
    return np.array([[value]], np.int32)


def _log_probs(first: int, count: int) -> NDArray[np.float32]:
    """Of the chosen ids at the positions from `first` on: -0.5, -0.75, -1, -1.25 and again."""
    return (-0.5 - 0.25 * (np.arange(first, first + count) % 4)).astype(np.float32)


def _logits(first: int, ids: NDArray[np.int32], vocab_size: int) -> NDArray[np.float32]:
    """[ids, vocab_size]: by its row each id has its log-prob; the ids above it are the next likely."""
    rows = np.zeros((len(ids), vocab_size), np.float32)
    probability = np.exp(_log_probs(first, len(ids)).astype(np.float64))
    rest = 1 - probability * (1 + np.exp(-_DISTANCES).sum())
    chosen = np.log((vocab_size - _NUM_RANKED) * probability / rest)
    places = np.arange(len(ids))[:, None]
    rows[places, (ids[:, None] + np.arange(1, _NUM_RANKED)) % vocab_size] = chosen[:, None] - _DISTANCES
    rows[places[:, 0], ids] = chosen
    return rows
