import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from batching.in_flight_batching import InFlightBatching
from contract.response_stream import ResponseStream

from tests.model_repository.tensorrt_llm.asking import asked_sequence
from tests.model_repository.tensorrt_llm.fake_batch import FakeBatch
from tests.model_repository.tensorrt_llm.fake_sender import TIMEOUT_S, FakeSender

MAX_NUM_SEQS = 2


def count_up(prompt: Sequence[int]) -> Iterator[int]:
    return itertools.cycle(range(100))


class Gate:
    """Lets as many steps pass as were allowed."""

    def __init__(self) -> None:
        self._steps = threading.Semaphore(0)
        self.is_open = False

    def __call__(self) -> None:
        if not self.is_open:
            assert self._steps.acquire(timeout=TIMEOUT_S)

    def allow(self, steps: int = 1) -> None:
        self._steps.release(steps)

    def open(self) -> None:
        self.is_open = True
        self.allow()


class Bench:
    def __init__(self, before_step: Callable[[], object] = lambda: None) -> None:
        self.batches: list[FakeBatch] = []
        self._before_step = before_step
        self.can_open = True
        self.batching = InFlightBatching(self._open)

    def _open(self) -> FakeBatch:
        if not self.can_open:
            raise RuntimeError("out of memory")
        self.batches.append(FakeBatch(count_up, MAX_NUM_SEQS, self._before_step))
        return self.batches[-1]

    def submit(self, request_id: str = "a", **values: Any) -> FakeSender:
        sender = FakeSender()
        self.batching.submit(asked_sequence(sender, request_id, **values))
        return sender

    def cancel(self, request_id: str) -> FakeSender:
        sender = FakeSender()
        self.batching.cancel(request_id, ResponseStream(request_id, sender))
        return sender


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.batching.close()


@pytest.fixture
def gated(gate: Gate) -> Iterator[Bench]:
    bench = Bench(gate)
    yield bench
    gate.open()
    bench.batching.close()


def test_requests_of_many_threads_are_answered(bench: Bench) -> None:
    senders: list[FakeSender] = []
    threads = [threading.Thread(target=lambda: senders.append(bench.submit())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sender in senders:
        sender.wait()
        assert sender.ids == [1, 2, 3, *range(8)]


def test_it_sleeps_when_there_is_nothing_to_do(bench: Bench) -> None:
    for _ in range(3):
        bench.submit(request_output_len=4).wait()
    assert bench.batches[0].decoder.num_steps == 12


def test_a_request_joins_between_two_steps(gated: Bench, gate: Gate) -> None:
    long = gated.submit(request_output_len=40, streaming=True)
    gate.allow(3)
    long.first_response.wait(TIMEOUT_S)
    short = gated.submit(request_output_len=1, streaming=True)
    gate.allow(20)
    short.wait()
    assert not long.ended.is_set()
    assert len(long.ids) < 40


def test_what_finds_no_place_waits_its_turn(gated: Bench, gate: Gate) -> None:
    senders = [gated.submit(request_output_len=2, streaming=True) for _ in range(4)]
    gate.open()
    for sender in senders:
        sender.wait()
    assert all(sender.ids == [0, 1] for sender in senders)


def test_the_load_tells_who_runs_and_who_waits(gated: Bench, gate: Gate) -> None:
    senders = [gated.submit(request_output_len=40, streaming=True) for _ in range(4)]
    gate.allow(2)
    senders[1].first_response.wait(TIMEOUT_S)
    load = gated.batching.load()
    assert (load.num_running, load.num_waiting, load.max_requests) == (2, 2, MAX_NUM_SEQS)
    # A block holds prompt and answer so far.
    assert (load.num_used_blocks, load.num_blocks) == (2, 1024 // load.tokens_per_block)
    gate.open()
    for sender in senders:
        sender.wait()
    load = gated.batching.load()
    assert (load.num_running, load.num_waiting, load.num_used_blocks) == (0, 0, 0)


@pytest.mark.parametrize("request_id", ["a", "unknown"])
def test_cancel_is_answered_by_an_end_without_a_response(bench: Bench, request_id: str) -> None:
    sender = bench.cancel(request_id)
    sender.wait()
    assert sender.is_closed
    assert sender.responses == []


def test_cancel_ends_all_of_that_id_also_those_that_wait(gated: Bench, gate: Gate) -> None:
    running = gated.submit("a", streaming=True)
    other = gated.submit("b", streaming=True)
    waiting = gated.submit("a", streaming=True)
    gate.allow()
    running.first_response.wait(TIMEOUT_S)
    cancel = gated.cancel("a")
    gate.open()
    for sender in (running, waiting, other, cancel):
        sender.wait()
    assert running.responses[-1].is_final
    assert len(running.ids) < 8
    assert [response.ids for response in waiting.responses] == [[]]
    assert len(other.ids) == 8


def test_a_client_that_leaves_ends_its_request(gated: Bench, gate: Gate) -> None:
    sender = gated.submit(request_output_len=60, streaming=True)
    gate.allow()
    sender.first_response.wait(TIMEOUT_S)
    sender.has_left = True
    while not sender.ended.wait(0.001):
        gate.allow()
    assert sender.responses[-1].is_final
    assert not sender.failure


def test_a_failed_step_fails_what_runs_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    steps = itertools.count()

    def fail_second_step() -> None:
        if next(steps) == 1:
            raise RuntimeError("a poisoned step")

    bench = Bench(fail_second_step)
    running = bench.submit(streaming=True)
    running.wait()
    assert running.ids == [0]
    assert running.failure == "The engine failed while it wrote this answer."
    later = bench.submit()
    later.wait()
    assert later.responses[0].is_final
    bench.batching.close()
    assert len(bench.batches) == 2
    assert "a poisoned step" in caplog.text


def test_an_engine_that_cannot_be_opened_again_turns_everybody_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        doomed.can_open = False
        raise RuntimeError("a poisoned step")

    doomed = Bench(fail)
    running = doomed.submit()
    running.wait()
    doomed.batching.close()
    later = doomed.submit()
    assert running.failure
    assert later.failure == "The engine is down."
    assert "out of memory" in caplog.text


def test_close_fails_what_is_not_finished(gate: Gate) -> None:
    bench = Bench(gate)
    senders = [bench.submit(streaming=True) for _ in range(3)]
    gate.allow()
    senders[0].first_response.wait(TIMEOUT_S)
    closing = threading.Thread(target=bench.batching.close)
    closing.start()
    gate.open()
    closing.join(TIMEOUT_S)
    for sender in senders:
        sender.wait()
    assert senders[2].failure == "The engine is down."
    late = bench.submit()
    assert late.failure == "The engine is down."
    assert bench.cancel("a").is_closed


def test_a_batch_that_does_not_open_starts_nothing() -> None:
    def fail() -> FakeBatch:
        raise RuntimeError("no such model")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="no such model"):
        InFlightBatching(fail)
    assert threading.active_count() == before
