"""One request from its acceptance to its last response: collects what an engine writes and passes it on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.request import GenerationRequest
from contract.response_stream import ResponseStream
from contract.stop_word_ids import StopWords
from contract.tensors import InvalidInput, Logits


@dataclass(frozen=True, slots=True)
class TokenScore:
    """How probable an id of a prompt was to the model itself: before temperature, bias, penalties and masks.

    Natural logarithms; top holds the most probable ids with theirs, best first.
    """

    token_id: int
    log_prob: float
    top: tuple[tuple[int, float], ...] = ()


class Generation:
    """The first response tells what is known of the prompt: its blocks in the KV cache, its scores."""

    def __init__(self, request: GenerationRequest, responses: ResponseStream) -> None:
        self.request = request
        self.num_reused_blocks = 0
        self.prompt_scores: list[TokenScore] = []
        # The text has its length, or the end id or a stop word was written.
        self.is_complete = False
        self._responses = responses
        self._stop_words = StopWords(request.stop_words)
        self._ids: list[int] = []
        self._log_probs: list[float] = []
        self._new_logits: list[Logits] = []
        self._num_sent = 0
        self._has_answered = False

    @property
    def request_id(self) -> str:
        return self._responses.request_id

    @property
    def is_abandoned(self) -> bool:
        return self._responses.is_abandoned

    def add(self, token_id: int | None, log_prob: float | None = None, logits: Logits | None = None) -> None:
        """Takes the next id; None says that nothing may follow."""
        if token_id is None or token_id == self.request.end_id:
            self.is_complete = True
            return
        self._ids.append(token_id)
        if log_prob is not None:
            self._log_probs.append(log_prob)
        if logits is not None:
            self._new_logits.append(logits)
        self.is_complete = len(self._ids) >= self.request.max_new_tokens or (
            len(self._ids) >= self.request.min_new_tokens and self._stop_words.end(self._ids)
        )

    def send_progress(self) -> None:
        """Sends what is new, if the client streams."""
        if self.request.is_streaming and len(self._ids) > self._num_sent:
            self._send(is_final=False)

    def finish(self) -> None:
        """Sends the last response; to a client that streams, possibly one without ids."""
        self._send(is_final=True)

    def refuse(self, reason: InvalidInput) -> None:
        self._responses.refuse(reason)

    def fail(self, message: str) -> None:
        self._responses.fail(message)

    def _send(self, *, is_final: bool) -> None:
        ids = self._ids[self._num_sent :]
        if self.request.repeats_prompt:
            ids = self.request.prompt_ids + ids
        tensors = self._tensors(ids)
        if not self._has_answered:
            tensors |= self._prompt_tensors()
        self._has_answered = True
        self._num_sent = len(self._ids)
        self._new_logits = []
        self._responses.send(tensors, is_final=is_final)

    def _tensors(self, ids: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Each tensor that the request asks for: of new ids, but the log-probs of all that were generated.

        Shapes, for n ids, m log-probs and v ids in the vocabulary: output_ids [1, 1, n], sequence_length and
        cum_log_probs [1, 1], output_log_probs [1, 1, m], generation_logits [1, n, 1, v] in a stream and
        [1, 1, n, v] else, num_output_tokens [1].
        """
        request, log_probs = self.request, self._log_probs
        tensors: dict[str, NDArray[Any]] = {
            "output_ids": np.array(ids, np.int32).reshape(1, 1, -1),
            "sequence_length": np.array([[len(ids)]], np.int32),
        }
        if request.returns_log_probs:
            tensors["output_log_probs"] = np.array(log_probs, np.float32).reshape(1, 1, -1)
            tensors["cum_log_probs"] = np.array([[sum(log_probs)]], np.float32)
        if request.returns_generation_logits and self._new_logits:
            rows = np.stack(self._new_logits)[np.newaxis]
            tensors["generation_logits"] = (
                rows[:, :, np.newaxis] if request.is_streaming else rows[:, np.newaxis]
            )
        if request.returns_num_output_tokens:
            tensors["num_output_tokens"] = np.array([len(ids)], np.int32)
        return tensors

    def _prompt_tensors(self) -> dict[str, NDArray[Any]]:
        """Told once: each tensor makes the way of a response through Triton longer (docs/performance.md)."""
        request = self.request
        tensors: dict[str, NDArray[Any]] = {}
        if request.num_prompt_log_probs >= 0 and self.prompt_scores:
            tensors |= _score_tensors(self.prompt_scores, request.num_prompt_log_probs)
        if request.returns_perf_metrics:
            tensors["kv_cache_reused_blocks"] = np.array([self.num_reused_blocks], np.int32)
        if request.returns_num_input_tokens:
            tensors["num_input_tokens"] = np.array([len(request.prompt_ids)], np.int32)
        return tensors


def _score_tensors(scores: Sequence[TokenScore], num_top: int) -> dict[str, NDArray[Any]]:
    """Of p scores with k alternatives: prompt_log_probs [1, p], prompt_top_* [1, p, k]."""
    pairs = np.array([score.top for score in scores], np.float64).reshape(1, len(scores), num_top, 2)
    return {
        "prompt_log_probs": np.array([[score.log_prob for score in scores]], np.float32),
        "prompt_top_log_prob_ids": pairs[..., 0].astype(np.int32),
        "prompt_top_log_probs": pairs[..., 1].astype(np.float32),
    }
