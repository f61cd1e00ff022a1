"""The operations' port of a frontend with keys, TLS and two workers."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from frontend.middleware.auth import OPEN_PATHS, OPERATIONS
from serving import ports
from tests.faults.frontend_process import API_KEY, frontend_process


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URLs of the API and of the operations' port."""
    ops_port = ports.free()
    log = tmp_path_factory.mktemp("ops") / "log"
    with frontend_process(log, workers=2, ops_port=ops_port) as frontend:
        yield frontend.url, f"http://127.0.0.1:{ops_port}"


@pytest.mark.parametrize("path", sorted(OPERATIONS))
def test_what_scrapers_and_gateways_ask_needs_no_key_there(addresses: tuple[str, str], path: str) -> None:
    public, operations = addresses
    answer = httpx.get(operations + path)
    # The fake Triton has no metrics, of which that route tells.
    assert answer.status_code == 200 or "TRITON_METRICS_ADDRESSES" in answer.text
    assert httpx.get(public + path).status_code == (200 if path in OPEN_PATHS else 401)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/responses"),
        ("POST", "/v1/messages"), ("POST", "/tokenize"), ("GET", "/v1/models/llama"),
        ("GET", "/openapi.json"), ("GET", "/"), ("GET", "/metrics/"), ("POST", "//v1/chat/completions"),
    ],
)  # fmt: skip
def test_nothing_else_is_there_also_with_a_key(addresses: tuple[str, str], method: str, path: str) -> None:
    key = {"Authorization": f"Bearer {API_KEY}"}
    answer = httpx.request(method, addresses[1] + path, headers=key, json={} if method == "POST" else None)
    assert answer.status_code == 404
    assert "operations" in answer.json()["error"]["message"]


def test_the_ports_host_header_does_not_open_the_public_one(addresses: tuple[str, str]) -> None:
    public, operations = addresses
    host = {"Host": operations.removeprefix("http://")}
    assert httpx.get(f"{public}/metrics", headers=host).status_code == 401
