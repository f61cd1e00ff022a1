"""One request from its acceptance to its last response: collects what the LLM API writes and passes it on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from contract.response_stream import ResponseStream
from contract.stop_word_ids import StopWords
from llm_api_request import LlmApiRequest
from numpy.typing import NDArray


class LlmApiGeneration:
    """num_seen counts the ids that the LLM API wrote, whether they are part of the text or not."""

    def __init__(self, request: LlmApiRequest, responses: ResponseStream) -> None:
        self.request = request
        self.num_seen = 0
        self.num_reused_blocks = 0
        self._responses = responses
        self._stop_words = StopWords(request.stop_words)
        self._ids: list[int] = []
        self._log_probs: list[float] = []
        self._num_sent = 0
        self._has_answered = False
        self._is_complete = False

    @property
    def request_id(self) -> str:
        return self._responses.request_id

    @property
    def is_complete(self) -> bool:
        """Whether the text has its length, or the end id or a stop word was written."""
        return self._is_complete

    @property
    def is_abandoned(self) -> bool:
        return self._responses.is_abandoned

    def add(self, ids: Sequence[int], log_probs: Sequence[float]) -> None:
        """Takes the next ids up to the one that ends the text; log_probs are theirs, or none."""
        self.num_seen += len(ids)
        for place, token_id in enumerate(ids):
            if self._is_complete:
                return
            self._add(token_id, log_probs[place : place + 1])

    def send_progress(self) -> None:
        """Sends what is new, if the client streams."""
        if self.request.is_streaming and len(self._ids) > self._num_sent:
            self._send(is_final=False)

    def finish(self) -> None:
        """Sends the last response; to a client that streams, possibly one without ids."""
        self._send(is_final=True)

    def fail(self, message: str) -> None:
        self._responses.fail(message)

    def _add(self, token_id: int, log_prob: Sequence[float]) -> None:
        # The PyTorch backend returns the end id, compiled engines don't.
        if token_id == self.request.end_id:
            self._is_complete = True
            return
        self._ids.append(token_id)
        self._log_probs.extend(log_prob)
        self._is_complete = len(self._ids) >= self.request.max_new_tokens or (
            len(self._ids) >= self.request.min_new_tokens and self._stop_words.end(self._ids)
        )

    def _send(self, *, is_final: bool) -> None:
        ids = self._ids[self._num_sent :]
        if self.request.repeats_prompt:
            ids = self.request.prompt_ids + ids
        self._num_sent = len(self._ids)
        tensors = self._tensors(ids)
        self._has_answered = True
        self._responses.send(tensors, is_final=is_final)

    def _tensors(self, ids: Sequence[int]) -> dict[str, NDArray[Any]]:
        """As the C++ backend shapes them: output_ids [1, 1, n], sequence_length and cum_log_probs [1, 1],
        output_log_probs [1, 1, m] of all ids so far, and the counts [1]; those of the prompt come once."""
        request, log_probs = self.request, self._log_probs
        tensors: dict[str, NDArray[Any]] = {
            "output_ids": np.array(ids, np.int32).reshape(1, 1, -1),
            "sequence_length": np.array([[len(ids)]], np.int32),
        }
        if request.returns_log_probs:
            tensors["output_log_probs"] = np.array(log_probs, np.float32).reshape(1, 1, -1)
            tensors["cum_log_probs"] = np.array([[sum(log_probs)]], np.float32)
        if request.returns_perf_metrics and not self._has_answered:
            tensors["kv_cache_reused_blocks"] = np.array([self.num_reused_blocks], np.int32)
        if request.returns_num_input_tokens and not self._has_answered:
            tensors["num_input_tokens"] = np.array([len(request.prompt_ids)], np.int32)
        if request.returns_num_output_tokens:
            tensors["num_output_tokens"] = np.array([len(ids)], np.int32)
        return tensors
