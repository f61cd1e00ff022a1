"""What the engine tells Triton, and the frontend whoever scrapes it."""

import httpx2 as httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.live_stack import LiveStack
from tests.patience import wait_until

KV_CACHE_USAGE = "vllm:kv_cache_usage_perc"
RUNNING = "vllm:num_requests_running"


def gauge(http: httpx.Client, name: str) -> float:
    families = {family.name: family for family in text_string_to_metric_families(http.get("/metrics").text)}
    (sample,) = families[name].samples
    return float(sample.value)


@pytest.mark.engines("cpu", "double")
def test_the_kv_cache_fills_and_is_empty_again(live_stack: LiveStack, http: httpx.Client) -> None:
    body = {"model": live_stack.model, "prompt": "x", "max_tokens": 4000, "stream": True, "ignore_eos": True}
    with http.stream("POST", "/v1/completions", json=body) as answer:
        assert answer.status_code == 200
        wait_until(lambda: 0 < gauge(http, KV_CACHE_USAGE) <= 1 and gauge(http, RUNNING) >= 1)
    wait_until(lambda: gauge(http, KV_CACHE_USAGE) == 0 and gauge(http, RUNNING) == 0)


@pytest.mark.engines("cpu", "double")
def test_tritons_own_metrics_are_beside_the_frontends(http: httpx.Client) -> None:
    names = {family.name for family in text_string_to_metric_families(http.get("/metrics/triton").text)}
    assert {
        "nv_inference_count",
        "nv_trt_llm_request_metrics",
        "nv_trt_llm_kv_cache_block_metrics",
    } <= names
