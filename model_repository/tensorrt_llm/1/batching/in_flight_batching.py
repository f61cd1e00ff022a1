"""In-flight batching: requests join and leave the batch between two steps of the engine."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from contract.generation import Generation
from contract.metrics import EngineLoad
from contract.response_stream import ResponseStream

from batching.paged_sequence import PagedSequence
from batching.running_batch import RunningBatch

# As TensorRT-LLM's cancellation_check_period_ms.
_CANCELLATION_CHECK_PERIOD_S = 0.1

_CLOSED_MESSAGE = "The engine is down."

_log = logging.getLogger("tensorrt_llm")


@dataclass(frozen=True, slots=True)
class _Cancellation:
    request_id: str
    responses: ResponseStream


class _Shutdown:
    pass


_Order: TypeAlias = PagedSequence | _Cancellation | _Shutdown


class InFlightBatching:
    """Takes orders from any thread; a thread of its own drives the batch and sends the responses."""

    def __init__(self, open_batch: Callable[[], RunningBatch]) -> None:
        self._open_batch = open_batch
        self._batch = open_batch()
        self._waiting: deque[PagedSequence] = deque()
        self._next_check_at = 0.0
        self._is_closing = False
        self._takes_orders = True
        self._order_lock = threading.Lock()
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="in-flight-batching")
        self._thread.start()

    def submit(self, sequence: PagedSequence) -> None:
        self._order(sequence)

    def cancel(self, request_id: str, responses: ResponseStream) -> None:
        """Ends every request of that id, if there is one; then closes the responses."""
        self._order(_Cancellation(request_id, responses))

    def load(self) -> EngineLoad:
        """What runs and waits right now."""
        return self._batch.load(len(self._waiting))

    def close(self) -> None:
        """Fails what is not finished; returns when the engine is free."""
        self._order(_Shutdown())
        self._thread.join()

    def _order(self, order: _Order) -> None:
        with self._order_lock:
            if self._takes_orders:
                self._orders.put(order)
                return
        _turn_away(order)

    def _run(self) -> None:
        while not self._is_closing:
            self._work()
        self._end()

    def _work(self) -> None:
        try:
            self._take_orders()
            self._end_abandoned()
            if not self._is_closing:
                self._advance()
        except Exception:
            # The thread's outermost boundary: those who come later need it, whatever the engine did.
            _log.exception("the engine failed in a step: what runs is lost")
            self._restart()

    def _advance(self) -> None:
        while self._waiting and self._batch.has_room_for(self._waiting[0]):
            self._batch.start(self._waiting.popleft())
        if self._batch.has_work:
            self._batch.step()

    def _take_orders(self) -> None:
        """Sleeps until there is an order when there is nothing else to do."""
        if not (self._waiting or self._batch.has_work):
            self._carry_out(self._orders.get())
        while not self._orders.empty():
            self._carry_out(self._orders.get())

    def _carry_out(self, order: _Order) -> None:
        if isinstance(order, PagedSequence):
            self._waiting.append(order)
        elif isinstance(order, _Cancellation):
            self._end_where(lambda generation: generation.request_id == order.request_id)
            order.responses.close()
        else:
            self._is_closing = True

    def _end_abandoned(self) -> None:
        now = time.monotonic()
        if now >= self._next_check_at:
            self._end_where(lambda generation: generation.is_abandoned)
            self._next_check_at = now + _CANCELLATION_CHECK_PERIOD_S

    def _end_where(self, is_unwanted: Callable[[Generation], bool]) -> None:
        self._batch.end_where(is_unwanted)
        for _ in range(len(self._waiting)):
            sequence = self._waiting.popleft()
            if is_unwanted(sequence.generation):
                sequence.generation.finish()
            else:
                self._waiting.append(sequence)

    def _restart(self) -> None:
        self._batch.fail_all("The engine failed while it wrote this answer.")
        try:
            self._batch = self._open_batch()
        except Exception:
            _log.exception("the engine can't be opened again: it answers no further request")
            self._is_closing = True

    def _end(self) -> None:
        with self._order_lock:
            self._takes_orders = False
        self._batch.fail_all(_CLOSED_MESSAGE)
        for sequence in self._waiting:
            sequence.generation.fail(_CLOSED_MESSAGE)
        while not self._orders.empty():
            _turn_away(self._orders.get())


def _turn_away(order: _Order) -> None:
    if isinstance(order, PagedSequence):
        order.generation.fail(_CLOSED_MESSAGE)
    elif isinstance(order, _Cancellation):
        order.responses.close()
