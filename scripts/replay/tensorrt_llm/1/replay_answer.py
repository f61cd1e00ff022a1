"""The answer to one request of Triton's: the responses of its sequences, of which the last one is final."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

_log = logging.getLogger("tensorrt_llm")


class ResponseLost(Exception):
    """Triton did not take a response."""


class Sender(Protocol):
    """Triton's side of a request; all but is_cancelled may raise ResponseLost."""

    def send(self, tensors: Mapping[str, NDArray[Any]], is_final: bool) -> None: ...

    def fail(self, message: str) -> None:
        """Ends the responses with an internal error."""

    def close(self) -> None:
        """Ends the responses without a further one."""

    def is_cancelled(self) -> bool:
        """Whether the client has left."""


class Answer:
    """Never raises: a response that is lost ends the answer."""

    def __init__(self, request_id: str, number: int, sender: Sender) -> None:
        self.request_id = request_id
        # The executor's own name for the request.
        self.number = number
        self.is_over = False
        self._sender = sender
        self._num_pending = 0

    @property
    def is_abandoned(self) -> bool:
        return self.is_over or self._sender.is_cancelled()

    def expect(self, num_sequences: int) -> None:
        """Before anything is sent: how many sequences will end."""
        self._num_pending += num_sequences

    def send(self, tensors: Mapping[str, NDArray[Any]], *, is_last: bool) -> None:
        """is_last is about the sequence; final is the last response of them all."""
        if self.is_over:
            return
        self._num_pending -= is_last
        self.is_over = self._num_pending == 0
        self._try(lambda: self._sender.send(tensors, self.is_over))

    def fail(self, text: str) -> None:
        if not self.is_over:
            self.is_over = True
            self._try(lambda: self._sender.fail(text))

    def fail_in_executor(self, text: str) -> None:
        self.fail(f"Executor failed process requestId {self.number} due to the following error: {text}")

    def close(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._try(self._sender.close)

    def _try(self, send: Any) -> None:
        try:
            send()
        except ResponseLost:
            self.is_over = True
            _log.exception("request %r: a response was lost", self.request_id)
