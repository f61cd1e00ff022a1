"""One live stack for all integration tests: what `make serve` starts."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import openai
import pytest

REPOSITORY = Path(__file__).parents[2]
API_KEY = "integration-key"
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 40


@dataclass(frozen=True)
class LiveStack:
    url: str
    triton: str
    """host:port of Triton's gRPC endpoint."""
    model: str
    log: Path


@pytest.fixture(scope="session")
def live_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    port, grpc_port = _free_port(), _free_port()
    log = tmp_path_factory.mktemp("serve") / "serve.log"
    environment = os.environ | {
        "PORT": str(port),
        "TRITON_GRPC_PORT": str(grpc_port),
        "API_KEYS": API_KEY,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.serve"],
            cwd=REPOSITORY,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(process, url, log)
            yield LiveStack(url, f"127.0.0.1:{grpc_port}", _served_model(url), log)
        finally:
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(STOP_TIMEOUT_S)
    assert exit_code == 0, log.read_text()


@pytest.fixture(scope="session")
def triton(live_stack: LiveStack) -> str:
    return live_stack.triton


@pytest.fixture
def client(live_stack: LiveStack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live_stack.url}/v1", api_key=API_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def http(live_stack: LiveStack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=live_stack.url, headers=headers, timeout=60) as client:
        yield client


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"not ready after {START_TIMEOUT_S} s:\n{log.read_text()}")


def _served_model(url: str) -> str:
    answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {API_KEY}"})
    return str(answer.json()["data"][0]["id"])
