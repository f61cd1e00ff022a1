"""What the engine tells Prometheus, by the names of TensorRT-LLM's backend (custom_metrics_reporter.cc)."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

# Each gauge is a message to Triton's own process.
_INTERVAL_S = 1.0

_log = logging.getLogger("tensorrt_llm")


class Family(NamedTuple):
    """Gauges that differ in the value of one label."""

    name: str
    text: str
    label: str
    values: tuple[str, ...]


REQUESTS = Family(
    "nv_trt_llm_request_metrics",
    "TRT LLM request metrics",
    "request_type",
    ("active", "max", "scheduled", "waiting"),
)
KV_BLOCKS = Family(
    "nv_trt_llm_kv_cache_block_metrics",
    "TRT LLM KV cache block metrics",
    "kv_cache_block_type",
    ("max", "free", "used", "tokens_per", "fraction"),
)
GENERAL = Family(
    "nv_trt_llm_general_metrics", "General TRT LLM metrics", "general_type", ("iteration_counter",)
)
FAMILIES = (REQUESTS, KV_BLOCKS, GENERAL)


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Blocks are those of the KV cache; what only waits to be reused is free."""

    max_requests: int
    num_running: int
    num_waiting: int
    num_blocks: int
    num_used_blocks: int
    tokens_per_block: int
    num_steps: int
    """Since the start: an engine with work that makes none hangs."""

    def gauges(self) -> dict[tuple[Family, str], float]:
        """Those that wait are active too, as upstream counts."""
        requests = (
            self.num_running + self.num_waiting,
            self.max_requests,
            self.num_running,
            self.num_waiting,
        )
        blocks = (
            self.num_blocks,
            self.num_blocks - self.num_used_blocks,
            self.num_used_blocks,
            self.tokens_per_block,
            self.num_used_blocks / self.num_blocks,
        )
        return {
            (family, value): float(number)
            for family, numbers in zip(FAMILIES, (requests, blocks, (self.num_steps,)), strict=True)
            for value, number in zip(family.values, numbers, strict=True)
        }


class Gauge(Protocol):
    """The part of Triton's Metric that is used."""

    def set(self, value: float) -> None: ...


OpenFamily: TypeAlias = Callable[[Family], Mapping[str, Gauge]]


class EngineMetrics:
    """Looks at intervals, in a thread of its own: no step waits for Triton."""

    def __init__(
        self, open_family: OpenFamily, read: Callable[[], EngineLoad], interval_s: float = _INTERVAL_S
    ) -> None:
        """open_family gives the gauges of a family by their label's value."""
        self._gauges = {
            (family, value): gauge for family in FAMILIES for value, gauge in open_family(family).items()
        }
        self._read = read
        self._interval_s = interval_s
        self._told: dict[tuple[Family, str], float] = {}
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Returns when nothing more is told."""
        self._is_closing.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._tell()
            while not self._is_closing.wait(self._interval_s):
                self._tell()
        except Exception:
            # The thread's outermost boundary: requests are served without it.
            _log.exception("the engine's metrics are no longer told")

    def _tell(self) -> None:
        """What has changed since."""
        for key, value in self._read().gauges().items():
            if self._told.get(key) != value:
                self._gauges[key].set(value)
                self._told[key] = value
