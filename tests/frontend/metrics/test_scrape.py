"""Triton's metrics through the frontend: read from servers that answer, that fail and that hang."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2 as httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from frontend.metrics.scrape import TritonMetrics, merged
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack, serving
from tests.frontend.metrics.test_engine_load import TEXT

HEADERS = {"Authorization": f"Bearer {API_KEY}"}
KV_CACHE_USAGE = "vllm:kv_cache_usage_perc"


@contextmanager
def metrics_server(text: str, status: int = 200) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent_server() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def frontend(*addresses: str) -> Iterator[Stack]:
    with serving(triton_metrics_addresses=addresses) as stack:
        yield stack


def get(stack: Stack, path: str) -> httpx.Response:
    return httpx.get(f"{stack.url}{path}", headers=HEADERS, verify=False)


def scrape(stack: Stack) -> dict[str, Metric]:
    answer = get(stack, "/metrics")
    assert answer.status_code == 200
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def values(family: Metric) -> dict[str, float]:
    """Engine -> value."""
    assert {sample.labels["model_name"] for sample in family.samples} <= {MODEL}
    return {sample.labels["engine"]: sample.value for sample in family.samples}


def test_kv_cache_usage_has_a_series_an_engine() -> None:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(metrics_server(TEXT.replace("0.25", share))) for share in ("0.25", "0.5")
        ]
        served = stack.enter_context(frontend(*servers))
        families = scrape(served)
        assert sorted(values(families[KV_CACHE_USAGE]).items()) in (
            [("0", 0.25), ("1", 0.5)],
            [("0", 0.5), ("1", 0.25)],
        )
        # Of those two engines nothing that runs is ours.
        assert values(families["vllm:num_requests_waiting"]) == {"0": 0}


def test_what_waits_in_the_engine_counts_as_waiting() -> None:
    with metrics_server(TEXT) as triton, frontend(triton) as stack:
        # A streamed answer begins with the first token that there is.
        stack.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
        body = {"model": MODEL, "prompt": ["x"] * 10, "stream": True}
        url = f"{stack.url}/v1/completions"
        with httpx.stream("POST", url, headers=HEADERS, json=body, timeout=30, verify=False):
            families = scrape(stack)
        # The engine's last step was of three, and ten are there.
        assert values(families["vllm:num_requests_running"]) == {"0": 3}
        assert values(families["vllm:num_requests_waiting"]) == {"0": 7}


def refusing_server() -> AbstractContextManager[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return nullcontext(f"127.0.0.1:{port}")


@contextmanager
def raw_server(answer: bytes) -> Iterator[str]:
    """Answers one request after the other with these bytes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_all() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=answer_all)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


BAD_SERVERS: Mapping[str, Callable[[], AbstractContextManager[str]]] = {
    "refuses": refusing_server,
    "fails": lambda: metrics_server(TEXT, status=500),
    "is no HTTP server": lambda: raw_server(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "breaks off": lambda: raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnv"),
    "writes no UTF-8": lambda: raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff"),
    "hangs up": lambda: raw_server(b""),
}


@pytest.mark.parametrize("fault", BAD_SERVERS)
def test_one_that_gives_no_metrics_is_named_once(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    with metrics_server(TEXT) as good, BAD_SERVERS[fault]() as bad:

        async def read_twice() -> list[dict[str, str | None]]:
            tritons = TritonMetrics([good, bad])
            return [await tritons.read(), await tritons.read()]

        assert asyncio.run(read_twice()) == [{good: TEXT, bad: None}] * 2
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [f"{bad} gives no metrics"]


def test_one_that_says_nothing_is_given_up() -> None:
    with silent_server() as address:
        assert asyncio.run(TritonMetrics([address], timeout_s=0.2).read()) == {address: None}


def test_a_scrape_does_without_a_triton_that_is_down() -> None:
    with metrics_server(TEXT) as good, refusing_server() as bad, frontend(good, bad) as stack:
        families = scrape(stack)
        assert list(values(families[KV_CACHE_USAGE]).values()) == [0.25]
        assert get(stack, "/metrics/triton").text == TEXT
    with refusing_server() as bad, frontend(bad) as stack:
        assert values(scrape(stack)[KV_CACHE_USAGE]) == {}
        assert get(stack, "/metrics/triton").status_code == 503


def test_nobody_is_asked_without_an_address() -> None:
    with serving() as stack:
        assert values(scrape(stack)[KV_CACHE_USAGE]) == {}
        answer = get(stack, "/metrics/triton")
        assert answer.status_code == 404
        assert "TRITON_METRICS_ADDRESSES" in answer.json()["error"]["message"]


def test_tritons_own_metrics_pass_through() -> None:
    with metrics_server(TEXT) as triton, frontend(triton) as stack:
        assert httpx.get(f"{stack.url}/metrics/triton", verify=False).status_code == 401
        answer = get(stack, "/metrics/triton")
        assert answer.text == TEXT
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_several_tritons_are_told_apart_within_each_family() -> None:
    first = '# HELP a An a.\n# TYPE a counter\na{model="x"} 1\n# HELP b A b.\n# TYPE b gauge\nb 2\nb{} 3\n'
    second = '# HELP a An a.\n# TYPE a counter\na{model="x"} 4\n# HELP c A c.\n# TYPE c gauge\nc 5\n'
    text = merged({"one:1": first, "two:2": second})
    assert text.splitlines() == [
        "# HELP a An a.",
        "# TYPE a counter",
        'a{endpoint="one:1",model="x"} 1',
        'a{endpoint="two:2",model="x"} 4',
        "# HELP b A b.",
        "# TYPE b gauge",
        'b{endpoint="one:1"} 2',
        'b{endpoint="one:1"} 3',
        "# HELP c A c.",
        "# TYPE c gauge",
        'c{endpoint="two:2"} 5',
    ]
    assert [family.name for family in text_string_to_metric_families(text)] == ["a", "b", "c"]
