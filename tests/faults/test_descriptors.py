"""More connections than there are descriptors for."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path

from scripts.fuzz.raw_exchange import connect, exchange, read_answer
from tests.fakes.triton_server import Script, tokens
from tests.faults.frontend_process import frontend_process
from tests.faults.raw_client import chat_request, head
from tests.patience import wait_until

LIMIT = 100
COMMAND = (
    "-c",
    "import resource, runpy, sys;"
    f"resource.setrlimit(resource.RLIMIT_NOFILE, (64, {LIMIT}));"
    "runpy.run_module('frontend', run_name='__main__')",
)


def test_silent_connections_keep_nobody_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with frontend_process(log, COMMAND, log_level="warning") as frontend, ExitStack() as stack:
        frontend.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
        running = stack.enter_context(connect(frontend.address))
        running.sendall(chat_request(stream=True))
        wait_until(lambda: frontend.fake.num_running == 1)
        silent = []
        for _ in range(2 * LIMIT):
            client = socket.create_connection(frontend.address, timeout=5)
            silent.append(stack.enter_context(client))
        for _ in range(5):
            assert exchange(frontend.address, head("GET /health/live HTTP/1.1")).status == 200
            assert exchange(frontend.address, head("GET /v1/models HTTP/1.1")).status == 200
            time.sleep(0.1)
        assert "descriptors" in log.read_text()
        frontend.fake.released.set()
        answer = read_answer(running)
        assert answer.status == 200
        assert b"[DONE]" in answer.body
        # Those that came last are still there.
        silent[-1].sendall(head("GET /health/live HTTP/1.1"))
        assert read_answer(silent[-1]).status == 200
