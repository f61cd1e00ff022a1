"""A whole stack of its own processes: what `make serve` starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx

from serving import ports
from tests.patience import wait_until

REPOSITORY = Path(__file__).parents[2]
API_KEY = "integration-key"
START_TIMEOUT_S = 240
STOP_TIMEOUT_S = 90


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
    port, grpc_port = ports.free(), ports.free()
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


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{url}/health/ready", verify=False).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_ready, log.read_text, START_TIMEOUT_S)


def _served_model(url: str) -> str:
    answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {API_KEY}"})
    return str(answer.json()["data"][0]["id"])
