"""The responses to one request, up to the last one."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from numpy.typing import NDArray

from contract.tensors import InvalidInput

_log = logging.getLogger("tensorrt_llm")


class ResponseLost(Exception):
    """Triton could not take a response."""


class Sender(Protocol):
    """Triton's side of a request; all but is_cancelled may raise ResponseLost."""

    def send(self, tensors: Mapping[str, NDArray[Any]], is_final: bool) -> None: ...

    def refuse(self, reason: InvalidInput) -> None:
        """Ends the responses with an error of the client's."""

    def fail(self, message: str) -> None:
        """Ends the responses with an error of the engine's."""

    def close(self) -> None:
        """Ends the responses without a further one."""

    def is_cancelled(self) -> bool:
        """Whether the client has left."""


class ResponseStream:
    """Never raises: when one response is lost, the client gets an error instead of the rest."""

    def __init__(self, request_id: str, sender: Sender) -> None:
        self.request_id = request_id
        self._sender = sender
        self._is_broken = False

    @property
    def is_abandoned(self) -> bool:
        return self._is_broken or self._sender.is_cancelled()

    def send(self, tensors: Mapping[str, NDArray[Any]], *, is_final: bool) -> None:
        if self._is_broken:
            return
        try:
            self._sender.send(tensors, is_final)
        except ResponseLost:
            _log.exception("request %r: a response was lost", self.request_id)
            self.fail("A part of this answer was lost.")
            self._is_broken = True

    @contextmanager
    def telling_failures(self) -> Iterator[None]:
        """The outermost boundary of one request: whatever happens to it, others go on."""
        try:
            yield
        except InvalidInput as reason:
            self.refuse(reason)
        except Exception:
            _log.exception("request %r: failed", self.request_id)
            self.fail("The engine could not take this request.")

    def refuse(self, reason: InvalidInput) -> None:
        self._end(lambda: self._sender.refuse(reason))

    def fail(self, message: str) -> None:
        self._end(lambda: self._sender.fail(message))

    def close(self) -> None:
        self._end(self._sender.close)

    def _end(self, send_last: Callable[[], None]) -> None:
        # Its error was its end; the engine that shuts down ends whatever runs once more.
        if self._is_broken:
            return
        try:
            send_last()
        except ResponseLost:
            _log.exception("request %r: its end was lost", self.request_id)
