"""Triton's side of a request, written down."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.response_stream import ResponseLost
from contract.tensors import InvalidInput
from numpy.typing import NDArray

# Of a machine that is busy with other tests.
TIMEOUT_S = 60


@dataclass(frozen=True)
class Sent:
    tensors: Mapping[str, NDArray[Any]]
    is_final: bool

    @property
    def ids(self) -> list[int]:
        return [int(token_id) for token_id in self.tensors["output_ids"].ravel()]

    def value(self, name: str) -> Any:
        return self.tensors[name].item()


class FakeSender:
    def __init__(self) -> None:
        self.responses: list[Sent] = []
        self.refusal: InvalidInput | None = None
        self.failure: str | None = None
        self.is_closed = False
        self.has_left = False
        self.loses_responses = False
        self.first_response = threading.Event()
        self.ended = threading.Event()

    @property
    def ids(self) -> list[int]:
        return [token_id for response in self.responses for token_id in response.ids]

    def send(self, tensors: Mapping[str, NDArray[Any]], is_final: bool) -> None:
        assert not self.ended.is_set(), "a response after the final one"
        if self.loses_responses:
            raise ResponseLost("no shared memory is left")
        self.responses.append(Sent(tensors, is_final))
        self.first_response.set()
        if is_final:
            self.ended.set()

    def refuse(self, reason: InvalidInput) -> None:
        self.refusal = reason
        self._end()

    def fail(self, message: str) -> None:
        self.failure = message
        self._end()

    def close(self) -> None:
        self.is_closed = True
        self._end()

    def is_cancelled(self) -> bool:
        return self.has_left

    def wait(self) -> "FakeSender":
        assert self.ended.wait(TIMEOUT_S), "no end"
        return self

    def wait_for_a_response(self) -> None:
        assert self.first_response.wait(TIMEOUT_S), "no response"

    def _end(self) -> None:
        assert not self.ended.is_set(), "two ends"
        self.ended.set()
