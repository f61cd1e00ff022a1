"""One request from its acceptance to its last response: collects what the engine writes and passes it on."""

from contract.request import EngineRequest
from contract.response_stream import ResponseStream
from contract.responses import Progress, response_tensors
from contract.stop_word_ids import StopWords
from sampling.token_chooser import Choice
from sampling.token_scores import Logits

from batching.paged_sequence import PagedSequence


class Generation:
    def __init__(self, request: EngineRequest, responses: ResponseStream) -> None:
        self.request = request
        self._responses = responses
        self._stop_words = StopWords(request.stop_words)
        self._ids: list[int] = []
        self._log_probs: list[float] = []
        self._new_logits: list[Logits] = []
        self._num_sent = 0
        self._has_answered = False
        self._sequence: PagedSequence | None = None
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

    def add(self, choice: Choice) -> None:
        """Takes the next id; None says that nothing may follow."""
        self._sequence = choice.sequence
        token_id = choice.token_id
        if token_id is None or token_id == self.request.end_id:
            self._is_complete = True
            return
        self._ids.append(token_id)
        if choice.log_prob is not None:
            self._log_probs.append(choice.log_prob)
        if choice.logits is not None:
            self._new_logits.append(choice.logits)
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
        self._responses.send(response_tensors(self.request, self._progress()), is_final=is_final)

    def _progress(self) -> Progress:
        ids = self._ids[self._num_sent :]
        if self.request.repeats_prompt:
            ids = self.request.prompt_ids + ids
        progress = Progress(ids, not self._has_answered, self._log_probs, self._new_logits)
        if progress.is_first and self._sequence is not None:
            progress.num_reused = self._sequence.num_reused
            progress.prompt_scores = self._sequence.prompt_scores
        self._has_answered = True
        self._num_sent = len(self._ids)
        self._new_logits = []
        return progress
