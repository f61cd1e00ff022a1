"""Whose turn it is: within one worker, and between two that share a ledger."""

import asyncio
import copy
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.errors import EngineOverloaded
from frontend.limits.ledger import SharedLedger
from frontend.limits.queue import FairQueue, Turn

# One for all examples: each ledger takes file descriptors.
LEDGER = SharedLedger(num_workers=2)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 10))


class Line:
    """A worker's queue and the order in which requests came in."""

    def __init__(self, ledger: SharedLedger | None = None, capacity: int = 2, max_waiting: int = 100) -> None:
        self.ledger = ledger or SharedLedger()
        self.queue = FairQueue(self.ledger, max_waiting)
        self.capacity = capacity

    def join(self, key: str, weight: int = 1) -> Turn:
        with self.ledger.locked():
            self.queue.require_room(weight, self.capacity)
            return self.queue.join(self.ledger.column(key), weight, self.capacity)

    def leave(self, turn: Turn) -> None:
        with self.ledger.locked():
            self.queue.leave(turn)


def test_slots_come_at_once_while_there_are_any() -> None:
    async def work() -> None:
        line = Line(capacity=2)
        first, second, third = (line.join("a") for _ in range(3))
        assert (first.has_slots, second.has_slots, third.has_slots) == (True, True, False)
        line.leave(first)
        assert third.has_slots
        await line.queue.wait(third, timeout_s=1)

    run(work)


def test_the_key_that_runs_least_is_next_and_its_oldest_request_first() -> None:
    async def work() -> None:
        line = Line(capacity=3)
        greedy = [line.join("greedy") for _ in range(6)]
        late, later, latest = line.join("modest"), line.join("modest"), line.join("third")
        line.leave(greedy[0])
        assert late.has_slots
        line.leave(greedy[1])
        assert latest.has_slots
        assert not later.has_slots
        line.leave(greedy[2])
        assert greedy[3].has_slots

    run(work)


def test_a_large_request_is_not_passed_for_ever() -> None:
    async def work() -> None:
        line = Line(capacity=4)
        running = [line.join("a") for _ in range(4)]
        large, small = line.join("b", weight=3), line.join("b")
        line.leave(running[0])
        line.leave(running[1])
        assert not large.has_slots
        assert not small.has_slots
        line.leave(running[2])
        assert large.has_slots
        assert not small.has_slots

    run(work)


@pytest.mark.parametrize(("max_waiting", "num_waiting"), [(0, 0), (1, 1), (5, 5)])
def test_the_line_is_bounded(max_waiting: int, num_waiting: int) -> None:
    async def work() -> None:
        line = Line(capacity=2, max_waiting=max_waiting)
        for _ in range(2 + num_waiting):
            line.join("a")
        with pytest.raises(EngineOverloaded):
            line.join("b")
        assert line.ledger.load() == (2, num_waiting)

    run(work)


def test_a_turn_that_does_not_come_in_time_is_an_error() -> None:
    async def work() -> None:
        line = Line(capacity=1)
        line.join("a")
        late = line.join("a")
        with pytest.raises(EngineOverloaded, match=r"0\.01 s"):
            await line.queue.wait(late, timeout_s=0.01)
        line.leave(late)
        assert line.ledger.load() == (1, 0)

    run(work)


def test_who_leaves_just_when_the_turn_comes_gives_it_back() -> None:
    async def work() -> None:
        line = Line(capacity=1)
        first, second, third = (line.join("a") for _ in range(3))
        waiting = asyncio.create_task(line.queue.wait(second, timeout_s=5))
        await asyncio.sleep(0)
        waiting.cancel()
        line.leave(first)
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        assert second.has_slots
        line.leave(second)
        assert third.has_slots
        assert line.ledger.load() == (1, 0)

    run(work)


def test_a_slot_that_one_worker_frees_goes_to_the_request_that_waits_in_another() -> None:
    async def work() -> None:
        ledger = SharedLedger(num_workers=2)
        here, there = Line(copy.copy(ledger), capacity=1), Line(copy.copy(ledger), capacity=1)
        there.ledger.worker = 1
        for line in (here, there):
            line.ledger.listen(line.queue.serve_rung)
        first = here.join("a")
        waiting, last = there.join("b"), here.join("a")
        here.leave(first)
        await there.queue.wait(waiting, timeout_s=5)
        assert not last.has_slots
        there.leave(waiting)
        await here.queue.wait(last, timeout_s=5)
        for line in (here, there):
            line.ledger.stop_listening()

    run(work)


def test_the_slots_of_a_dead_worker_go_to_those_who_wait() -> None:
    async def work() -> None:
        ledger = SharedLedger(num_workers=2)
        here, dead = Line(copy.copy(ledger), capacity=1), Line(copy.copy(ledger), capacity=1)
        dead.ledger.worker = 1
        here.ledger.listen(here.queue.serve_rung)
        dead.join("a")
        dead.join("b")
        waiting = here.join("a")
        here.ledger.give_back(1)
        await here.queue.wait(waiting, timeout_s=5)
        assert here.ledger.load() == (1, 0)
        here.ledger.stop_listening()

    run(work)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from("abc"), st.integers(1, 4), st.integers(0, 9))))
def test_no_slot_is_lost_or_given_twice(steps: list[tuple[int, str, int, int]]) -> None:
    """Requests of any size join two workers and leave in any order."""

    async def work() -> None:
        ledger = LEDGER
        for worker in range(2):
            ledger.give_back(worker)
        lines = [Line(copy.copy(ledger), capacity=4) for _ in range(2)]
        lines[1].ledger.worker = 1
        turns: list[tuple[Line, Turn]] = []
        for worker, key, weight, leaver in steps:
            turns.append((lines[worker], lines[worker].join(key, weight)))
            if leaver < len(turns):
                line, turn = turns.pop(leaver)
                line.leave(turn)
            for line in lines:
                line.queue.serve_rung()
            held = sum(turn.weight for _, turn in turns if turn.has_slots)
            waits = sum(turn.weight for _, turn in turns if not turn.has_slots)
            assert ledger.load() == (held, waits)
            assert held <= 4
        while turns:
            line, turn = turns.pop(0)
            line.leave(turn)
            for other in lines:
                other.queue.serve_rung()
            assert not turns or any(turn.has_slots for _, turn in turns)
        assert ledger.load() == (0, 0)

    run(work)
