"""The sequences of an answer: when their next tokens are due, and what is sent then."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from contract.response_stream import ResponseStream
from numpy.typing import NDArray
from replay_faults import NEVER_FINAL, Fault, die
from replay_responses import Progress, ResponseBuilder, UnfilledResponse
from replay_writer import Ids, Writer


class Answer:
    """The responses of a request's sequences, of which the last one is final."""

    def __init__(self, number: int, responses: ResponseStream) -> None:
        # The executor's own name for the request.
        self.number = number
        self.is_over = False
        self._responses = responses
        self._num_pending = 0

    @property
    def request_id(self) -> str:
        return self._responses.request_id

    @property
    def is_abandoned(self) -> bool:
        return self.is_over or self._responses.is_abandoned

    def expect(self, num_sequences: int) -> None:
        """Before anything is sent: how many sequences will end."""
        self._num_pending += num_sequences

    def send(self, tensors: Mapping[str, NDArray[Any]], *, is_last: bool) -> None:
        """is_last is about the sequence; final is the last response of them all."""
        if self.is_over:
            return
        self._num_pending -= is_last
        self.is_over = self._num_pending == 0
        self._responses.send(tensors, is_final=self.is_over)

    def fail(self, text: str) -> None:
        if not self.is_over:
            self.is_over = True
            self._responses.fail(text)

    def fail_in_executor(self, text: str) -> None:
        self.fail(f"Executor failed process requestId {self.number} due to the following error: {text}")

    def close(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._responses.close()


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens per second of one stream, 0 for flat out; jitter is a part of the time between two responses."""

    tokens_per_second: float = 0.0
    jitter: float = 0.0
    tokens_per_response: int = 1

    def seconds(self, steps: int) -> float:
        return steps / self.tokens_per_second if self.tokens_per_second else 0.0

    def steps_in(self, seconds: float) -> int:
        """Whole steps; flat out, there is no end to them."""
        return int(seconds * self.tokens_per_second) if self.tokens_per_second else 0

    def delay(self) -> float:
        """Seconds by which a response is late; its turn stays where it is, so that nothing adds up."""
        if not self.jitter or not self.tokens_per_second:
            return 0.0
        return self.seconds(self.tokens_per_response) * self.jitter * random.random()  # noqa: S311 - no secret


class ReplaySequence:
    """Times are seconds of the monotonic clock."""

    def __init__(
        self, answer: Answer, builder: ResponseBuilder, writer: Writer, pace: Pace, fault: Fault | None
    ) -> None:
        self.answer = answer
        # A sequence that hangs says nothing more until it is stopped.
        self.hangs = False
        self.is_over = False
        self._builder = builder
        self._writer = writer
        self._pace = pace
        self._fault = fault
        self._unsent: list[Ids] = []
        self._num_sent = 0
        self._written_until = 0.0

    @property
    def num_tokens(self) -> int:
        """Of the prompt and of what was sent."""
        return self._builder.num_prompt_ids + self._num_sent

    def begin(self, now: float) -> float:
        """When its first tokens are due."""
        self._written_until = now
        return self._next_due()

    def advance(self, now: float) -> float | None:
        """Writes what is due by now, all at once when late; None when nothing more will come."""
        turn = self._steps_per_turn()
        steps = max(turn, self._pace.steps_in(now - self._written_until) // turn * turn)
        self._written_until = max(self._written_until + self._pace.seconds(steps), 0.0)
        ids, is_ended = self._writer.write(steps)
        self._unsent.append(ids)
        self._respond(is_ended)
        return None if self.is_over or self.hangs else self._next_due()

    def stop(self, now: float) -> None:
        """As a cancelled request: what was written and not sent, as the last response."""
        if not self.hangs:
            ids, _ = self._writer.write(self._pace.steps_in(now - self._written_until))
            self._unsent.append(ids)
        self.hangs = False
        self._send(is_last=True)

    def _next_due(self) -> float:
        return self._written_until + self._pace.seconds(self._steps_per_turn()) + self._pace.delay()

    def _steps_per_turn(self) -> int:
        """A text that is sent at its end has one turn, if it is known how long it is."""
        known = None if self._builder.is_streaming else self._writer.num_steps
        return known or self._pace.tokens_per_response

    def _respond(self, is_ended: bool) -> None:
        fault = self._fault
        if fault and fault.replaces_response(self._num_seen()):
            self._fail(fault)
        elif is_ended and fault and fault.kind == NEVER_FINAL:
            self._send(is_last=False)
            self.hangs = True
        elif is_ended or self._builder.is_streaming:
            self._send(is_last=is_ended)

    def _send(self, *, is_last: bool) -> None:
        ids = np.concatenate(self._unsent) if self._unsent else np.empty(0, np.int32)
        try:
            tensors = self._builder.tensors(Progress(self._num_sent, ids))
        except UnfilledResponse as reason:
            self.is_over = True
            self.answer.fail(str(reason))
            return
        if self._fault:
            self._fault.change(tensors, self._num_seen())
        self._unsent.clear()
        self._num_sent += len(ids)
        self.answer.send(tensors, is_last=is_last)
        self.is_over = is_last or self.answer.is_over

    def _num_seen(self) -> int:
        """By which faults come: tokens that were sent, or written where all are sent at once."""
        return self._num_sent if self._builder.is_streaming else sum(map(len, self._unsent))

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "die":
            die()
        if fault.kind == "hang":
            self.hangs = True
            self._unsent.clear()
            return
        self.is_over = True
        if fault.kind == "no_response":
            self.answer.close()
        else:
            self.answer.fail_in_executor("a fault that was asked for")
