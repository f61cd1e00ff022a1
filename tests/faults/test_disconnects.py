"""Thousands of clients that leave at every moment: the engine stops, and nothing stays behind."""

import asyncio
import json
import os
import random
from pathlib import Path

from tests.fakes.triton_server import Script, tokens
from tests.faults.frontend_process import API_KEY, frontend_process
from tests.frontend.conftest import MODEL
from tests.patience import wait_until

NUM_CLIENTS = 2000
NUM_AT_ONCE = 4
# Forty tokens in about 120 ms, in the first half of which a client leaves.
SCRIPT = Script([tokens("a")] * 40, pause_s=0.003)
LAST_LEAVES_S = 0.06
# Of those whose request is whole: they leave at the first byte of the answer, however long it takes.
SHARE_AT_FIRST_BYTE = 0.1
SPARE_FILES = 2
# A leak of 20 KB a client, which the allocator's own ups and downs of some MB do not hide.
MAX_GROWTH_BYTES = 40 * 1024 * 1024
MIN_GENERATIONS = 50


def http_request() -> bytes:
    """Whole or streamed, of one or several choices."""
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
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def ask_and_leave(address: tuple[str, int], turns: asyncio.Semaphore) -> None:
    async with turns:
        reader, writer = await asyncio.open_connection(*address)
        request = http_request()
        is_whole = random.random() < 0.9
        writer.write(request if is_whole else request[: random.randrange(len(request))])
        if is_whole and random.random() < SHARE_AT_FIRST_BYTE:
            await reader.read(1)
        else:
            await asyncio.sleep(random.choice([0.0, random.uniform(0, LAST_LEAVES_S)]))
        # As a killed client leaves, by a reset, as often as by an orderly end.
        if random.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()


async def crowd(address: tuple[str, int], num_clients: int) -> None:
    turns = asyncio.Semaphore(NUM_AT_ONCE)
    await asyncio.gather(*(ask_and_leave(address, turns) for _ in range(num_clients)))


def test_thousands_leave_at_random_and_nothing_stays(tmp_path: Path) -> None:
    random.seed(7)
    with frontend_process(tmp_path / "log") as frontend:
        fake = frontend.fake
        fake.reset(SCRIPT)

        def num_files() -> int:
            return len(os.listdir(f"/proc/{frontend.process.pid}/fd"))

        asyncio.run(crowd(frontend.address, NUM_CLIENTS // 4))
        wait_until(lambda: fake.num_running == 0)
        files, memory = num_files(), frontend.rss_bytes
        asyncio.run(crowd(frontend.address, NUM_CLIENTS))
        wait_until(lambda: fake.num_running == 0)
        wait_until(lambda: num_files() <= files + SPARE_FILES)
        assert frontend.rss_bytes - memory < MAX_GROWTH_BYTES
        # Those who left at the first byte of a stream, at least.
        assert len(fake.requests) > MIN_GENERATIONS
        assert len(set(fake.stopped_ids)) > MIN_GENERATIONS
        assert frontend.process.poll() is None
        log = frontend.log.read_text()
        assert "Traceback" not in log
        assert "did not end" not in log
