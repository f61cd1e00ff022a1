import threading
from collections.abc import Callable
from dataclasses import replace

from contract.metrics import GENERAL, KV_BLOCKS, REQUESTS, EngineLoad, EngineMetrics, Family

TIMEOUT_S = 10
LOAD = EngineLoad(
    max_requests=4,
    num_running=3,
    num_waiting=2,
    num_blocks=8,
    num_used_blocks=2,
    tokens_per_block=32,
    num_steps=7,
)


class Gauges:
    """All that were opened: what each was set to, in order."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], list[float]] = {}
        self.changed = threading.Condition()

    def open_family(self, family: Family) -> "dict[str, Gauge]":
        return {value: Gauge(self, (family.name, value)) for value in family.values}

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, TIMEOUT_S), self.told


class Gauge:
    def __init__(self, gauges: Gauges, key: tuple[str, str]) -> None:
        self._gauges = gauges
        self._told = gauges.told[key] = []

    def set(self, value: float) -> None:
        with self._gauges.changed:
            self._told.append(value)
            self._gauges.changed.notify_all()


def test_upstreams_names_and_what_they_count() -> None:
    assert LOAD.gauges() == {
        (REQUESTS, "active"): 5,
        (REQUESTS, "max"): 4,
        (REQUESTS, "scheduled"): 3,
        (REQUESTS, "waiting"): 2,
        (KV_BLOCKS, "max"): 8,
        (KV_BLOCKS, "free"): 6,
        (KV_BLOCKS, "used"): 2,
        (KV_BLOCKS, "tokens_per"): 32,
        (KV_BLOCKS, "fraction"): 0.25,
        (GENERAL, "iteration_counter"): 7,
    }


def test_only_what_has_changed_is_told_again() -> None:
    gauges, loads = Gauges(), [replace(LOAD, num_waiting=1), LOAD]
    metrics = EngineMetrics(
        gauges.open_family, lambda: loads.pop() if len(loads) > 1 else loads[0], interval_s=0.01
    )
    waiting = gauges.told["nv_trt_llm_request_metrics", "waiting"]
    active = gauges.told["nv_trt_llm_request_metrics", "active"]
    gauges.wait_for(lambda: len(waiting) == len(active) == 2)
    metrics.close()
    assert (waiting, active) == ([2, 1], [5, 4])
    others = [told for told in gauges.told.values() if told not in (waiting, active)]
    assert [len(told) for told in others] == [1] * 8


def test_an_engine_that_can_not_tell_goes_on_without() -> None:
    asked = threading.Event()

    def read() -> EngineLoad:
        asked.set()
        raise RuntimeError("no pipeline")

    metrics = EngineMetrics(Gauges().open_family, read)
    assert asked.wait(TIMEOUT_S)
    metrics.close()
