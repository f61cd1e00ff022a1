"""One request from its acceptance to its last response: collects what the engine writes and passes it on."""

from collections.abc import Sequence

from engine_request import EngineRequest
from engine_responses import response_tensors
from response_stream import ResponseStream
from stop_word_ids import StopWords


class Generation:
    def __init__(self, request: EngineRequest, responses: ResponseStream) -> None:
        self.request = request
        self._responses = responses
        self._stop_words = StopWords(request.stop_words)
        self._ids: list[int] = []
        self._log_probs: list[float] = []
        self._num_sent = 0
        self._is_complete = False

    @property
    def request_id(self) -> str:
        return self._responses.request_id

    @property
    def num_tokens(self) -> int:
        """Prompt and generated ids together."""
        return self.request.num_prompt_tokens + len(self._ids)

    @property
    def is_complete(self) -> bool:
        """Whether the end id or a stop word was written: what follows doesn't count."""
        return self._is_complete

    @property
    def is_abandoned(self) -> bool:
        return self._responses.is_abandoned

    def add(self, ids: Sequence[int], log_probs: Sequence[float]) -> None:
        for token_id, log_prob in zip(ids, log_probs, strict=True):
            if not self._is_complete:
                self._add_one(token_id, log_prob)

    def send_progress(self) -> None:
        """Sends what is new, if the client streams."""
        if self.request.is_streaming and len(self._ids) > self._num_sent:
            self._send(is_final=False)

    def finish(self) -> None:
        """Sends the last response; to a client that streams, possibly one without ids."""
        self._send(is_final=True)

    def fail(self, message: str) -> None:
        self._responses.fail(message)

    def _add_one(self, token_id: int, log_prob: float) -> None:
        if token_id == self.request.end_id:
            self._is_complete = True
            return
        self._ids.append(token_id)
        self._log_probs.append(log_prob)
        if len(self._ids) >= self.request.min_new_tokens:
            self._is_complete = self._stop_words.end(self._ids)

    def _send(self, *, is_final: bool) -> None:
        ids = self._ids[self._num_sent :]
        if self.request.repeats_prompt:
            ids = self.request.prompt_ids[0].tolist() + ids
        self._num_sent = len(self._ids)
        self._responses.send(response_tensors(self.request, ids, self._log_probs), is_final=is_final)
