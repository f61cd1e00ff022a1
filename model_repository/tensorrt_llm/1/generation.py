"""One request from its acceptance to its last response: collects what the engine writes and passes it on."""

from engine_request import EngineRequest
from engine_responses import response_tensors
from response_stream import ResponseStream
from stop_word_ids import StopWords
from token_scores import TokenScore, TopLogProbs


class Generation:
    def __init__(self, request: EngineRequest, responses: ResponseStream) -> None:
        self.request = request
        self._responses = responses
        self._stop_words = StopWords(request.stop_words)
        self._ids: list[int] = []
        self._log_probs: list[float] = []
        self._top: list[TopLogProbs] = []
        self._num_sent = 0
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

    def add(self, token_id: int | None, score: TokenScore | None) -> None:
        """Takes the next id; None says that nothing may follow."""
        if token_id is None or token_id == self.request.end_id:
            self._is_complete = True
            return
        self._ids.append(token_id)
        if score is not None:
            self._log_probs.append(score.log_prob)
            self._top.append(score.top)
        self._is_complete = len(self._ids) >= self.request.max_new_tokens or (
            len(self._ids) >= self.request.min_new_tokens and self._stop_words.end(self._ids)
        )

    def send_progress(self) -> None:
        """Sends what is new, if the client streams."""
        if self.request.is_streaming and len(self._ids) > self._num_sent:
            self._send(is_final=False)

    def finish(self) -> None:
        """Sends the last response; to a client that streams, possibly one without ids."""
        self._send(is_final=True)

    def fail(self, message: str) -> None:
        self._responses.fail(message)

    def _send(self, *, is_final: bool) -> None:
        ids = self._ids[self._num_sent :]
        top = self._top[self._num_sent :]
        if self.request.repeats_prompt:
            ids = self.request.prompt_ids + ids
        self._num_sent = len(self._ids)
        tensors = response_tensors(self.request, ids, self._log_probs, top)
        self._responses.send(tensors, is_final=is_final)
