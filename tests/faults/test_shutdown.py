"""SIGTERM with streams in flight: what was accepted ends in order, nothing else is let in."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from scripts.fuzz.raw_exchange import connect, exchange, read_all, read_answer
from tests.fakes.triton_server import Script, tokens
from tests.faults.frontend_process import Frontend, frontend_process
from tests.faults.raw_client import chat_request, head
from tests.patience import wait_until

NUM_STREAMS = 50
MARGIN_S = 15


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@contextmanager
def streams(frontend: Frontend, num: int = NUM_STREAMS) -> Iterator[list[socket.socket]]:
    """Streams that have begun and of which each waits for the engine."""
    frontend.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(frontend.address)) for _ in range(num)]
        for client in clients:
            client.sendall(chat_request(stream=True))
        for client in clients:
            read_until(client, b'"content":"a"')
        yield clients


def read_until(client: socket.socket, text: bytes) -> None:
    data = b""
    while text not in data:
        piece = client.recv(65536)
        assert piece, data
        data += piece


def end(process: "subprocess.Popen[bytes]") -> int:
    return process.wait(MARGIN_S)


@pytest.mark.row(49)
def test_streams_finish_within_the_grace_time(log: Path) -> None:
    with frontend_process(log, shutdown_grace_s=60) as frontend, streams(frontend) as clients:
        with connect(frontend.address) as idle:
            frontend.process.terminate()
            wait_until_draining(frontend)
            for path, status in (("/health/live", 200), ("/health/ready", 503), ("/v1/models", 503)):
                answer = exchange(frontend.address, head(f"GET {path} HTTP/1.1"), ends=status == 503)
                assert answer.status == status
            refused = exchange(frontend.address, chat_request(), ends=True)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            idle.sendall(chat_request())
            assert read_answer(idle).status == 503
        assert frontend.process.poll() is None
        frontend.fake.released.set()
        for client in clients:
            assert read_all(client).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert end(frontend.process) == 0


def wait_until_draining(frontend: Frontend) -> None:
    wait_until(lambda: exchange(frontend.address, head("GET /health/ready HTTP/1.1")).status != 200)


@pytest.mark.row(49)
def test_streams_over_the_grace_time_end_with_an_error_frame(log: Path) -> None:
    with frontend_process(log, shutdown_grace_s=1) as frontend, streams(frontend) as clients:
        whole = connect(frontend.address)
        whole.sendall(chat_request())
        wait_until(lambda: len(frontend.fake.requests) > NUM_STREAMS)
        start = time.monotonic()
        frontend.process.terminate()
        for client in clients:
            rest = read_all(client)
            assert b'data: {"error": {' in rest
            assert b'"service_unavailable"' in rest
            assert b"[DONE]" not in rest
            assert b'"finish_reason":"' not in rest
            assert rest.endswith(b"0\r\n\r\n")
        with whole:
            assert read_answer(whole).status == 503
        assert end(frontend.process) == 0
        assert time.monotonic() - start < 1 + MARGIN_S
        assert set(frontend.fake.stopped_ids) == {request.id for request in frontend.fake.requests}


@pytest.mark.row(49)
def test_an_idle_frontend_ends_at_once(log: Path) -> None:
    with frontend_process(log, shutdown_grace_s=600) as frontend, connect(frontend.address) as idle:
        frontend.process.terminate()
        assert end(frontend.process) == 0
        assert read_all(idle) == b""


@pytest.mark.row(49)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(log: Path, second: signal.Signals) -> None:
    with frontend_process(log, shutdown_grace_s=600) as frontend, streams(frontend):
        frontend.process.terminate()
        wait_until_draining(frontend)
        frontend.process.send_signal(second)
        assert end(frontend.process) == -second
