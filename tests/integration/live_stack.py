"""A whole stack of its own processes: what `make serve` starts."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
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
    process: "subprocess.Popen[bytes]"
    """`make serve` itself, the parent of the servers."""


@contextmanager
def served_stack(log: Path, *module: str, **variables: str) -> Iterator[LiveStack]:
    """A stack that answers, with these variables of make; it must end in order.

    module: what is run instead of `make serve`, and its arguments.
    """
    port, grpc_port = free_port(), free_port()
    environment = os.environ | {
        "PORT": str(port),
        "TRITON_GRPC_PORT": str(grpc_port),
        "API_KEYS": API_KEY,
        **variables,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *(module or ("scripts.serve",))],
            cwd=REPOSITORY,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(process, url, log)
            yield LiveStack(url, f"127.0.0.1:{grpc_port}", _served_model(url), log, process)
        finally:
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(STOP_TIMEOUT_S)
    assert exit_code == 0, log.read_text()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/health/ready", verify=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"not ready after {START_TIMEOUT_S} s:\n{log.read_text()}")


def _served_model(url: str) -> str:
    answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {API_KEY}"})
    return str(answer.json()["data"][0]["id"])
