"""/metrics: what is counted, under which names, and what never shows."""

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx2 as httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parser_of_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from build import debian_packages
from frontend.app import create_app
from frontend.metrics.counters import (
    FAMILIES,
    HTTP_REQUESTS,
    OTHER,
    ROUTES,
    Counter,
    SharedMetrics,
    num_values,
)
from frontend.settings import Settings
from frontend.triton.triton import Triton
from tests.fakes.clients import http_client
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack, serving

HEADERS = {"Authorization": f"Bearer {API_KEY}"}
USER = [{"role": "user", "content": "a secret of the client"}]
ROOT = Path(__file__).parents[3]
# Without the suffix that Prometheus' text gives to the samples of counters and histograms.
METRIC_NAME = re.compile(r"vllm:[a-z0-9_]+?(?=_total\b|_bucket\b|\b)")
# Where no Triton gives its metrics.
WITHOUT_SAMPLES = {"vllm:kv_cache_usage_perc"}
LABELS = {"model_name": MODEL, "engine": "0"}
# Slowly, so that each token is an event of its own.
THREE = Script([tokens("a"), tokens("b"), tokens("c")], pause_s=0.05)


def chat(stack: Stack, **fields: object) -> httpx.Response:
    body = {"model": MODEL, "messages": USER, **fields}
    url = f"{stack.url}/v1/chat/completions"
    return httpx.post(url, headers=HEADERS, json=body, timeout=30, verify=False)


def scrape(stack: Stack) -> dict[str, Metric]:
    answer = httpx.get(f"{stack.url}/metrics", headers=HEADERS, verify=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Of the one sample of that name with these labels among its own."""
    (found,) = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


def documented_names() -> set[str]:
    return set(METRIC_NAME.findall((ROOT / "docs/metrics.md").read_text()))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stream_is_counted_under_vllms_names() -> None:
    with serving() as stack:
        stack.fake.reset(THREE)
        assert chat(stack, stream=True, max_tokens=7).status_code == 200
        families = scrape(stack)
        counters = {
            "vllm:prompt_tokens_total": 5,
            "vllm:generation_tokens_total": 4,  # the end id is one
            "vllm:time_to_first_token_seconds_count": 1,
            "vllm:inter_token_latency_seconds_count": 3,
            "vllm:request_time_per_output_token_seconds_count": 1,
            "vllm:e2e_request_latency_seconds_count": 1,
            "vllm:request_queue_time_seconds_count": 1,
            "vllm:request_inference_time_seconds_count": 1,
            "vllm:request_prefill_time_seconds_count": 1,
            "vllm:request_decode_time_seconds_count": 1,
            "vllm:request_prompt_tokens_sum": 5,
            "vllm:request_generation_tokens_sum": 4,
            "vllm:request_params_n_sum": 1,
            "vllm:request_params_max_tokens_sum": 7,
            "vllm:num_requests_running": 0,
            "vllm:num_requests_waiting": 0,
        }
        assert {name: value(families, name, **LABELS) for name in counters} == counters
        assert value(families, "vllm:request_success_total", finished_reason="stop", **LABELS) == 1
        assert value(families, "vllm:request_success_total", finished_reason="abort", **LABELS) == 0
        assert value(families, "llama_frontend_triton_up") == 1
        assert value(families, "llama_frontend_key_completion_tokens_total", key="api-keys-1") == 4
        route = "/v1/chat/completions"
        assert value(families, "llama_frontend_http_requests_total", route=route, status="200") == 1


def test_an_answer_that_comes_whole_says_nothing_about_single_tokens() -> None:
    with serving() as stack:
        stack.fake.reset(THREE)
        assert chat(stack).status_code == 200
        families = scrape(stack)
        assert value(families, "vllm:e2e_request_latency_seconds_count") == 1
        for name in ("time_to_first_token_seconds", "inter_token_latency_seconds"):
            assert value(families, f"vllm:{name}_count") == 0


def test_each_choice_is_a_generation() -> None:
    with serving() as stack:
        stack.fake.reset(THREE)
        assert chat(stack, n=3).status_code == 200
        families = scrape(stack)
        assert value(families, "vllm:request_success_total", finished_reason="stop") == 3
        assert value(families, "vllm:generation_tokens_total") == 12
        assert value(families, "vllm:request_params_n_sum") == 3


def test_cached_tokens_are_prefix_hits() -> None:
    with serving() as stack:
        stack.fake.reset(Script([tokens("a")], num_prompt_tokens=100, num_reused_blocks=2))
        assert chat(stack).status_code == 200
        families = scrape(stack)
        hits = value(families, "vllm:prefix_cache_hits_total")
        assert value(families, "vllm:prefix_cache_queries_total") == 100
        assert hits > 0
        assert value(families, "vllm:prompt_tokens_cached_total") == hits


def test_who_runs_and_who_waits_and_who_leaves() -> None:
    with serving(max_concurrent_requests=1, max_queued_requests=1) as stack:
        stack.fake.reset(Script([tokens("a")], hangs_after=1))
        body = {"model": MODEL, "messages": USER, "stream": True}
        with http_client(stack.url, API_KEY, timeout=30) as client:
            with client.stream("POST", "/v1/chat/completions", json=body):
                wait_for(lambda: value(scrape(stack), "vllm:num_requests_running") == 1)
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/v1/chat/completions", json=body, timeout=0.5)
            wait_for(lambda: value(scrape(stack), "vllm:num_requests_running") == 0)
        families = scrape(stack)
        assert value(families, "vllm:request_success_total", finished_reason="abort") == 2
        assert value(families, "vllm:request_success_total", finished_reason="error") == 0


def test_what_fails_is_an_error() -> None:
    with serving() as stack:
        stack.fake.reset(Script([tokens("a"), tokens("b")], fails_after=1))
        assert chat(stack).status_code == 500
        assert value(scrape(stack), "vllm:request_success_total", finished_reason="error") == 1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"max_concurrent_requests": 1, "max_queued_requests": 0}, "line_full"),
        ({"max_concurrent_requests": 1, "queue_timeout_s": 0.2}, "waited_too_long"),
    ],
)
def test_refusals_have_a_reason(settings: dict[str, object], reason: str) -> None:
    with serving(**settings) as stack:
        stack.fake.reset(Script([tokens("a")], hangs_after=1))
        body = {"model": MODEL, "messages": USER, "stream": True}
        url = f"{stack.url}/v1/chat/completions"
        with httpx.stream("POST", url, headers=HEADERS, json=body, timeout=30, verify=False):
            wait_for(lambda: len(stack.fake.requests) == 1)
            assert chat(stack).status_code == 429
        assert value(scrape(stack), "llama_frontend_refused_requests_total", reason=reason) == 1


def test_metrics_want_a_key(stack: Stack) -> None:
    assert httpx.get(f"{stack.url}/metrics", verify=False).status_code == 401


def test_nothing_of_a_client_is_a_label() -> None:
    with serving() as stack:
        stack.fake.reset(THREE)
        for path in ("/etc/passwd", "/v1/unknown", "/v1/models/made-up", "/v1/chat/completions/x"):
            httpx.get(f"{stack.url}{path}", headers=HEADERS, verify=False)
        chat(stack, model="made-up", user="made-up")
        httpx.get(f"{stack.url}/v1/models", headers={"Authorization": "Bearer made-up"}, verify=False)
        text = httpx.get(f"{stack.url}/metrics", headers=HEADERS, verify=False).text
        for secret in ("made-up", "passwd", "unknown", API_KEY, "secret of the client"):
            assert secret not in text
        families = scrape(stack)
        name = "llama_frontend_http_requests_total"
        assert value(families, name, route="other", status="404") == 3
        assert value(families, name, route="/v1/models/{model}", status="404") == 1
        assert value(families, name, route="/v1/models", status="401") == 1


def test_every_route_has_a_place() -> None:
    settings = Settings()
    paths = create_app(settings, Triton(settings)).openapi()["paths"]
    assert {path.replace(":path", "") for path in paths} <= set(ROUTES) - {OTHER}


def test_what_is_documented_and_what_the_chart_queries_is_there(stack: Stack) -> None:
    exposed = {name for name in scrape(stack) if name.startswith("vllm:")}
    assert documented_names() == exposed
    # Those of deploy/monitoring are tried on a live Prometheus.
    for path in (ROOT / "deploy" / "chart").rglob("*.yaml"):
        assert set(METRIC_NAME.findall(path.read_text())) <= exposed


@pytest.mark.parametrize(
    "escaping", ["", "; escaping=allow-utf-8", "; escaping=underscores", "; escaping=values"]
)
@pytest.mark.parametrize(
    ("format_", "read"),
    [
        ("application/openmetrics-text; version=1.0.0", parser_of_openmetrics),
        ("application/openmetrics-text; version=2.0.0", parser_of_openmetrics),
        ("application/openmetrics-text", parser_of_openmetrics),
        ("text/plain; version=1.0.0", text_string_to_metric_families),
        ("text/plain; version=0.0.4", text_string_to_metric_families),
        ("*/*", text_string_to_metric_families),
    ],
)
def test_names_are_the_same_in_every_format(
    http: httpx.Client, stack: Stack, format_: str, read: Callable[[str], Iterable[Metric]], escaping: str
) -> None:
    answer = http.get("/metrics", headers={"Accept": format_ + escaping})
    media_type = "application/openmetrics-text" if read is parser_of_openmetrics else "text/plain"
    assert answer.headers["content-type"].startswith(media_type)
    assert {family.name for family in read(answer.text)} == scrape(stack).keys()


@pytest.mark.slow
def test_prometheus_finds_the_documented_names(stack: Stack, tmp_path: Path) -> None:
    """Debian 12's, 2.42, which asks for OpenMetrics first."""
    debian_packages.unpack(["prometheus"], tmp_path)
    host = stack.url.removeprefix("http://")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"scrape_configs: [{{job_name: a, scrape_interval: 1s, static_configs: [{{targets: ['{host}']}}], "
        f"authorization: {{credentials: {API_KEY}}}}}]"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [tmp_path / "usr/bin/prometheus", f"--config.file={config}", f"--web.listen-address={address}"]
    with subprocess.Popen([*command, f"--storage.tsdb.path={tmp_path}"], stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: found_by_prometheus(address) >= documented_names() - WITHOUT_SAMPLES)
        finally:
            server.kill()


def found_by_prometheus(address: str) -> set[str]:
    url = f"http://{address}/api/v1/label/__name__/values"
    try:
        names = httpx.get(url, timeout=5).json()["data"]
    except (httpx.TransportError, ValueError):
        # It is still starting.
        return set()
    return {name.removesuffix("_total").removesuffix("_bucket") for name in names}


def test_places_do_not_overlap() -> None:
    places = [place for family in FAMILIES for place in range(family.start, family.start + family.size)]
    assert places == list(range(num_values()))
    assert all(len(family.at) == family.size for family in FAMILIES if isinstance(family, Counter))


def test_rows_of_workers_are_summed() -> None:
    first = SharedMetrics(num_workers=2)
    second = first.of_worker(1)
    for metrics, amount in ((first, 3), (second, 4)):
        HTTP_REQUESTS.add(metrics.row, amount, "/version", "200")
    assert first.totals()[HTTP_REQUESTS.at["/version", "200"]] == 7
    assert sum(second.totals()) == 7
