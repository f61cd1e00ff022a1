"""Thousands of clients that leave at every moment: the engine stops, and nothing stays behind."""

import asyncio
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.fakes.triton_server import Script, tokens
from tests.faults.frontend_process import API_KEY, frontend_process
from tests.frontend.conftest import MODEL

NUM_CLIENTS = 2000
NUM_AT_ONCE = 4
# Ten tokens in about 30 ms, in which a client may leave anywhere, or shortly after.
SCRIPT = Script([tokens("a")] * 10, pause_s=0.003)
LAST_LEAVES_S = 0.06
# A second is promised; the rest is for a busy machine.
SETTLE_S = 30
SPARE_FILES = 2
MIN_GENERATIONS = 50


def http_request() -> bytes:
    """Whole or streamed, of one or several choices; one in ten is cut off before its end."""
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": random.random() < 0.7,
        "n": random.choice([1, 1, 1, 2, 4]),
    }
    content = json.dumps(body).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {API_KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    )
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + content
    return whole if random.random() < 0.9 else whole[: random.randrange(len(whole))]


async def ask_and_leave(address: tuple[str, int], turns: asyncio.Semaphore) -> None:
    async with turns:
        _, writer = await asyncio.open_connection(*address)
        writer.write(http_request())
        await asyncio.sleep(random.choice([0.0, random.uniform(0, LAST_LEAVES_S)]))
        # As a killed client leaves, by a reset, as often as by an orderly end.
        if random.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()


async def crowd(address: tuple[str, int], num_clients: int) -> None:
    turns = asyncio.Semaphore(NUM_AT_ONCE)
    await asyncio.gather(*(ask_and_leave(address, turns) for _ in range(num_clients)))


def settle(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SETTLE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_thousands_leave_at_random_and_nothing_stays(tmp_path: Path) -> None:
    random.seed(7)
    with frontend_process(tmp_path / "log") as frontend:
        fake = frontend.fake
        fake.reset(SCRIPT)

        def num_files() -> int:
            return len(os.listdir(f"/proc/{frontend.process.pid}/fd"))

        asyncio.run(crowd(frontend.address, NUM_CLIENTS // 4))
        settle(lambda: fake.num_running == 0, "sequences run on after warming up")
        files = num_files()
        asyncio.run(crowd(frontend.address, NUM_CLIENTS))
        settle(lambda: fake.num_running == 0, "sequences run on in the engine")
        settle(lambda: num_files() <= files + SPARE_FILES, "files stay open")
        # How many got that far before they left depends on the machine.
        assert len(fake.requests) > MIN_GENERATIONS
        assert len(set(fake.stopped_ids)) > MIN_GENERATIONS
        assert frontend.process.poll() is None
        log = frontend.log.read_text()
        assert "Traceback" not in log
        assert "did not end" not in log
