"""What an engine tells of itself in Triton's metrics: the share of its KV cache in use, who runs, who waits.

The names are those of TensorRT-LLM's backend (custom_metrics_reporter.cc); the CPU engine has the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from frontend.triton.model import ENGINE_MODEL

_REQUESTS = "nv_trt_llm_request_metrics"
_KV_BLOCKS = "nv_trt_llm_kv_cache_block_metrics"
_LABELS = {_REQUESTS: "request_type", _KV_BLOCKS: "kv_cache_block_type"}


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Of one Triton; None is what its engine does not tell."""

    kv_cache_usage: float | None
    """From 0 to 1; blocks that only wait to be reused are free."""
    num_active: int | None
    """Generations that the engine has taken up, those that wait in it too."""
    num_scheduled: int
    """Of them, in its last step."""
    max_active: int


def read_load(text: str) -> EngineLoad | None:
    """Out of Prometheus' text format; None for what is not."""
    # The parser takes 20 us a line, on the event loop, and Triton has hundreds of them.
    own = "".join(f"{line}\n" for line in text.splitlines() if line.startswith((_REQUESTS, _KV_BLOCKS)))
    try:
        values = {
            (sample.name, sample.labels[_LABELS[sample.name]]): sample.value
            for family in text_string_to_metric_families(own)
            for sample in family.samples
            if sample.labels["model"] == ENGINE_MODEL
        }
    except (ValueError, KeyError):
        return None
    active = values.get((_REQUESTS, "active"))
    return EngineLoad(
        kv_cache_usage=values.get((_KV_BLOCKS, "fraction")),
        num_active=None if active is None else int(active),
        num_scheduled=int(values.get((_REQUESTS, "scheduled"), 0)),
        max_active=int(values.get((_REQUESTS, "max"), 0)),
    )


def num_waiting_in_engines(
    num_in_triton: int, loads: Sequence[EngineLoad | None], max_num_seqs: int
) -> int | None:
    """Of this frontend's generations in Triton, those that no engine computes; None if one does not tell.

    Several frontends share the engines: then each takes its part, so that their sum is right.
    max_num_seqs: of one engine's step.
    """
    told = [load for load in loads if load is not None and load.num_active is not None]
    if not told or len(told) < len(loads):
        return None
    num_all = max(num_in_triton, sum(load.num_active or 0 for load in told))
    if num_all == 0:
        return 0
    num_computed = sum(_num_computed(told, max_num_seqs))
    return num_in_triton - min(num_in_triton, round(num_in_triton * num_computed / num_all))


def _num_computed(loads: Iterable[EngineLoad], max_num_seqs: int) -> Iterable[int]:
    """With pipeline parallelism a step is of one micro-batch, and max_active is that of all of them."""
    for load in loads:
        num_micro_batches = max(1, load.max_active // max_num_seqs)
        yield min(load.num_active or 0, load.num_scheduled * num_micro_batches)
