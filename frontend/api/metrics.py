"""/metrics in Prometheus' form: what all workers have counted, right now."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse

from frontend.errors import EngineUnavailable, NotFound
from frontend.limits.ledger import SharedLedger
from frontend.metrics.counters import FAMILIES, Counter, Histogram
from frontend.metrics.engine_load import EngineLoad, num_waiting_in_engines, read_load
from frontend.metrics.scrape import TritonMetrics, merged
from frontend.triton.model import ServedModel
from frontend.triton.triton import Triton

# vLLM counts for each of its engines; we for all that stand behind the address.
_ENGINE = "0"
_LABELS = ("model_name", "engine")


def metrics_routes(ledger: SharedLedger, triton: Triton, triton_metrics: Sequence[str]) -> APIRouter:
    """As every path but the probes', they want a key; `triton_metrics`: where the servers have theirs."""
    router = APIRouter()
    tritons = TritonMetrics(triton_metrics)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        model = await _served_model(triton)
        name = model.name if model else ""
        labels = (name, _ENGINE)
        texts = (await tritons.read()).values()
        loads = [None if text is None else read_load(text) for text in texts]
        families = [
            *_counted(ledger.metrics.totals(), labels),
            *_in_flight(ledger.load(), loads, model, labels),
            _kv_cache_usage(loads, name),
            *_usage(ledger.usage_by_key()),
            _endpoints(triton.health()),
        ]
        return exposition(families, request.headers.get("accept", ""))

    @router.get("/metrics/triton", response_class=PlainTextResponse)
    async def of_triton() -> Response:
        if not tritons.are_known:
            raise NotFound("TRITON_METRICS_ADDRESSES names no metrics of Triton's.", code="unknown_url")
        texts = {address: text for address, text in (await tritons.read()).items() if text is not None}
        if not texts:
            raise EngineUnavailable("No Triton gives its metrics.")
        return Response(merged(texts), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    return router


def exposition(families: Iterable[Metric], accept: str) -> Response:
    """In the text format that the scraper asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(families))
    # Names as they are, whatever escaping is asked for: each is valid for every scraper, but the library's
    # own choice turns the colons into underscores, and then no query finds them.
    if openmetrics.CONTENT_TYPE_LATEST.partition(";")[0] in accept.lower():
        text = openmetrics.generate_latest(registry, openmetrics.ALLOWUTF8)  # type: ignore[no-untyped-call]
        content_type = openmetrics.CONTENT_TYPE_LATEST
    else:
        text, content_type = generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
    return Response(text, headers={"Content-Type": content_type})


class _Ready(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


async def _served_model(triton: Triton) -> ServedModel | None:
    """None while no Triton works."""
    try:
        return await triton.served_model()
    except EngineUnavailable:
        return None


def _counted(totals: Sequence[float], labels: Sequence[str]) -> Iterator[Metric]:
    for family in FAMILIES:
        values = totals[family.start : family.start + family.size]
        yield (
            _counter(family, values, labels)
            if isinstance(family, Counter)
            else _histogram(family, values, labels)
        )


def _counter(counter: Counter, values: Sequence[float], labels: Sequence[str]) -> Metric:
    """Of two labels, what never came is left out: most combinations are impossible."""
    is_own = not counter.name.startswith("vllm:")
    names = counter.labels if is_own else (*_LABELS, *counter.labels)
    metric = CounterMetricFamily(counter.name, counter.text, labels=names)
    for combination, value in zip(counter.combinations, values, strict=True):
        if value or len(counter.labels) < 2:
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


def _in_flight(
    in_flight: tuple[int, int],
    loads: Sequence[EngineLoad | None],
    model: ServedModel | None,
    labels: Sequence[str],
) -> Iterator[Metric]:
    """Where the engines tell, what waits in them is not running."""
    running, waiting = in_flight
    waiting_there = (num_waiting_in_engines(running, loads, model.max_num_seqs) if model else None) or 0
    for name, text, value in (
        ("vllm:num_requests_running", "Generations that the engine computes.", running - waiting_there),
        ("vllm:num_requests_waiting", "Generations in a line.", waiting + waiting_there),
    ):
        gauge = GaugeMetricFamily(name, text, labels=_LABELS)
        gauge.add_metric(labels, value)
        yield gauge


def _kv_cache_usage(loads: Sequence[EngineLoad | None], model: str) -> Metric:
    """As vLLM, whose engines have a series each; the number is the place among the sorted addresses."""
    metric = GaugeMetricFamily(
        "vllm:kv_cache_usage_perc", "Share of the KV cache in use, from 0 to 1.", labels=_LABELS
    )
    for number, load in enumerate(loads):
        if load is not None and load.kv_cache_usage is not None:
            metric.add_metric((model, str(number)), load.kv_cache_usage)
    return metric


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
