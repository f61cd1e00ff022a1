"""The thread that sends what is due, for thousands of sequences at once."""

import heapq
import itertools
import logging
import mmap
import queue
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from replay_sequence import ReplaySequence

# Asking Triton whether a client has left is a call to another process, 0.1 ms for which no token is sent.
_CHECKED_AT_ONCE = 8

_COUNT_LAYOUT = "<q"

_log = logging.getLogger("tensorrt_llm")

_Order: TypeAlias = Callable[[], None]


class SequenceCount:
    """How many there are, for another process: eight bytes in a file, little-endian; without one, nothing."""

    def __init__(self, path: str) -> None:
        self._memory: mmap.mmap | None = None
        if path:
            with open(path, "wb+") as file:
                file.write(bytes(struct.calcsize(_COUNT_LAYOUT)))
                file.flush()
                self._memory = mmap.mmap(file.fileno(), 0)

    def set(self, num_sequences: int) -> None:
        if self._memory is not None:
            struct.pack_into(_COUNT_LAYOUT, self._memory, 0, num_sequences)


class ReplayScheduler:
    """Takes orders from any thread; sequences beyond max_num_seqs wait, max_queue_size of them (0: all)."""

    def __init__(
        self,
        max_num_seqs: int,
        max_queue_size: int,
        cancellation_check_period_s: float,
        count: SequenceCount,
    ) -> None:
        self._max_num_seqs = max_num_seqs
        self._max_queue_size = max_queue_size
        self._count = count
        self._check_period_s = cancellation_check_period_s
        self._next_check_at = 0.0
        self._due: list[tuple[float, int, ReplaySequence]] = []
        self._ties = itertools.count()
        self._running: dict[ReplaySequence, None] = {}
        self._waiting: deque[ReplaySequence] = deque()
        # By Triton's id, and only the latest request of one.
        self._by_request_id: defaultdict[str, list[ReplaySequence]] = defaultdict(list)
        self._is_closing = False
        self.num_steps = 0
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="replay")
        self._thread.start()

    @property
    def running(self) -> list[ReplaySequence]:
        """As they are now, for any thread."""
        return list(self._running)

    def start(self, sequences: list[ReplaySequence]) -> None:
        """The sequences of one request."""
        self._orders.put(lambda: self._take_up(sequences))

    def stop(self, request_id: str, then: Callable[[], None]) -> None:
        """Ends the request of that id, if there is one."""
        self._orders.put(lambda: self._stop(request_id, then))

    def fail_all(self, text: str) -> None:
        """Ends every request that runs, as an error within a step does."""
        self._orders.put(lambda: self._fail_all(text))

    def close(self) -> None:
        """Fails what is not finished; returns when the thread has ended."""
        self._orders.put(self._close)
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closing:
            self._work()

    def _work(self) -> None:
        try:
            self._step()
        except Exception:
            # The thread's outermost boundary: those who come later need it.
            _log.exception("a step failed: what runs is lost")
            self._fail_all("Encountered an error in forwardAsync function: the log tells why")

    def _step(self) -> None:
        self._take_orders()
        now = time.monotonic()
        for sequence in self._take_due(now):
            if not self._is_closing:
                self._advance(sequence, now)
                self.num_steps += 1
        if now >= self._next_check_at:
            self._next_check_at = now + self._check_period_s
            self._end_abandoned(now)
        self._count.set(len(self._running) + len(self._waiting))

    def _take_due(self, now: float) -> list[ReplaySequence]:
        """Each once: flat out, one that is advanced is due again at once."""
        taken = []
        while self._due and self._due[0][0] <= now:
            taken.append(heapq.heappop(self._due)[2])
        return taken

    def _take_orders(self) -> None:
        """Sleeps until an order comes or something is due."""
        try:
            self._orders.get(timeout=self._seconds_to_sleep())()
            while True:
                self._orders.get_nowait()()
        except queue.Empty:
            pass

    def _seconds_to_sleep(self) -> float | None:
        if not self._running:
            return None
        next_due = self._due[0][0] if self._due else self._next_check_at
        return max(min(next_due, self._next_check_at) - time.monotonic(), 0.0)

    def _take_up(self, sequences: list[ReplaySequence]) -> None:
        num_waiting = len(self._waiting) + len(sequences) + len(self._running) - self._max_num_seqs
        if num_waiting > self._max_queue_size > 0:
            sequences[0].answer.fail(
                f"Maximum queue size of {self._max_queue_size} has been reached, please try again later"
            )
            return
        if sequences[0].answer.request_id:
            self._by_request_id[sequences[0].answer.request_id] = sequences
        self._waiting.extend(sequences)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._max_num_seqs:
            sequence = self._waiting.popleft()
            self._running[sequence] = None
            self._schedule(sequence, sequence.begin(time.monotonic()))

    def _schedule(self, sequence: ReplaySequence, due: float) -> None:
        heapq.heappush(self._due, (due, next(self._ties), sequence))

    def _advance(self, sequence: ReplaySequence, now: float) -> None:
        if sequence.is_over:
            return
        due = sequence.advance(now)
        if due is not None:
            self._schedule(sequence, due)
        elif sequence.is_over:
            self._forget(sequence)

    def _forget(self, sequence: ReplaySequence) -> None:
        self._running.pop(sequence, None)
        request_id = sequence.answer.request_id
        if sequence in self._by_request_id.get(request_id, ()):
            self._by_request_id[request_id].remove(sequence)
            if not self._by_request_id[request_id]:
                del self._by_request_id[request_id]
        self._fill()

    def _end(self, sequences: Iterable[ReplaySequence], now: float) -> None:
        for sequence in list(sequences):
            if sequence in self._waiting:
                self._waiting.remove(sequence)
                sequence.begin(now)
            sequence.stop(now)
            self._forget(sequence)

    def _stop(self, request_id: str, then: Callable[[], None]) -> None:
        self._end(self._by_request_id.get(request_id, ()), time.monotonic())
        then()

    def _end_abandoned(self, now: float) -> None:
        """A part of them each time, the next part the next time."""
        checked = list(itertools.islice(self._running, _CHECKED_AT_ONCE))
        for sequence in checked:
            self._running[sequence] = self._running.pop(sequence)
        self._end((sequence for sequence in checked if sequence.answer.is_abandoned), now)

    def _fail_all(self, text: str) -> None:
        for sequence in (*self._running, *self._waiting):
            sequence.is_over = True
            sequence.answer.fail_in_executor(text)
        self._due.clear()
        self._running.clear()
        self._waiting.clear()
        self._by_request_id.clear()

    def _close(self) -> None:
        self._fail_all("the server is shutting down")
        self._is_closing = True
