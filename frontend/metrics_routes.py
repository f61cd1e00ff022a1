"""/metrics in Prometheus' form: what all workers have counted, right now."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse

from frontend.errors import EngineUnavailable
from frontend.metric_layout import FAMILIES, Counter, Histogram
from frontend.shared_ledger import SharedLedger
from frontend.triton import Triton

# vLLM has one for each of its engines; we have what stands behind the address.
_ENGINE = "0"
_LABELS = ("model_name", "engine")


def metrics_routes(ledger: SharedLedger, triton: Triton) -> APIRouter:
    """As every path but the probes', it wants a key."""
    router = APIRouter()

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        labels = (await _model_name(triton), _ENGINE)
        families = [
            *_counted(ledger.metrics.totals(), labels),
            *_in_flight(ledger, labels),
            *_usage(ledger.usage_by_key()),
            _endpoints(triton.health()),
        ]
        return exposition(families, request.headers.get("accept", ""))

    return router


def exposition(families: Iterable[Metric], accept: str) -> Response:
    """In the text format that the scraper asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(families))
    encode, content_type = choose_encoder(accept)
    return Response(encode(registry), headers={"Content-Type": content_type})


class _Ready(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _model_name(triton: Triton) -> str:
    """Empty while no Triton works."""
    try:
        return (await triton.served_model()).name
    except EngineUnavailable:
        return ""


def _counted(totals: Sequence[float], labels: Sequence[str]) -> Iterator[Metric]:
    for family in FAMILIES:
        values = totals[family.start : family.start + family.size]
        yield (
            _counter(family, values, labels)
            if isinstance(family, Counter)
            else _histogram(family, values, labels)
        )


def _counter(counter: Counter, values: Sequence[float], labels: Sequence[str]) -> Metric:
    """Combinations of our own that never came are left out: most are impossible."""
    is_own = not counter.name.startswith("vllm:")
    names = counter.labels if is_own else (*_LABELS, *counter.labels)
    metric = CounterMetricFamily(counter.name, counter.text, labels=names)
    for combination, value in zip(counter.combinations, values, strict=True):
        if value or not is_own:
            metric.add_metric(combination if is_own else (*labels, *combination), value)
    return metric


def _histogram(histogram: Histogram, values: Sequence[float], labels: Sequence[str]) -> Metric:
    *counts, total = values
    buckets, so_far = [], 0.0
    for bound, count in zip([*map(float, histogram.bounds), float("inf")], counts, strict=True):
        so_far += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), so_far))
    metric = HistogramMetricFamily(histogram.name, histogram.text, labels=_LABELS)
    metric.add_metric(labels, buckets, total)
    return metric


def _in_flight(ledger: SharedLedger, labels: Sequence[str]) -> Iterator[Metric]:
    running, waiting = ledger.load()
    for name, text, value in (
        ("vllm:num_requests_running", "Generations in Triton.", running),
        ("vllm:num_requests_waiting", "Generations in the frontend's line.", waiting),
    ):
        gauge = GaugeMetricFamily(name, text, labels=_LABELS)
        gauge.add_metric(labels, value)
        yield gauge


def _usage(usage: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    """By the names of keys, which are no secret."""
    for count in ("requests", "refused", "prompt_tokens", "completion_tokens"):
        metric = CounterMetricFamily(
            f"llama_frontend_key_{count}", f"What a key has used: {count.replace('_', ' ')}.", labels=("key",)
        )
        for key, counts in usage.items():
            metric.add_metric((key,), counts[count])
        yield metric


def _endpoints(health: Mapping[str, bool]) -> Metric:
    metric = GaugeMetricFamily(
        "llama_frontend_triton_up", "Whether this Triton works, as one worker sees it.", labels=("endpoint",)
    )
    for address, is_up in health.items():
        metric.add_metric((address,), float(is_up))
    return metric
