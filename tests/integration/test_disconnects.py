"""Clients that leave free their places in the real engine, which runs so many sequences and no more."""

import asyncio
import json

import httpx2 as httpx
import pytest

from tests.integration.live_stack import API_KEY, LiveStack

# As many as the committed config.pbtxt lets run at once.
MAX_NUM_SEQS = 64
NUM_ROUNDS = 3
# What they would take to their end: 64 times 4,000 tokens, minutes on two cores.
MAX_TOKENS = 4000
ANSWER_S = 30


async def ask_and_leave(stack: LiveStack, stays_s: float) -> None:
    host, _, port = stack.url.removeprefix("http://").partition(":")
    content = json.dumps(
        {
            "model": stack.model,
            "prompt": "Once upon a time",
            "max_tokens": MAX_TOKENS,
            "ignore_eos": True,
            "stream": True,
        }
    )
    lines = (
        "POST /v1/completions HTTP/1.1",
        "Host: a",
        f"Authorization: Bearer {API_KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    )
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(("\r\n".join(lines) + "\r\n\r\n" + content).encode())
    await asyncio.sleep(stays_s)
    writer.close()


async def crowd(stack: LiveStack) -> None:
    """Before the first token, between the first ones, and after some seconds."""
    await asyncio.gather(*(ask_and_leave(stack, index / MAX_NUM_SEQS * 2) for index in range(MAX_NUM_SEQS)))


@pytest.mark.row(46, 48)
def test_the_engine_is_free_again_when_its_clients_have_left(
    live_stack: LiveStack, http: httpx.Client
) -> None:
    for _ in range(NUM_ROUNDS):
        asyncio.run(crowd(live_stack))
    body = {"model": live_stack.model, "prompt": "Once upon a time", "max_tokens": 8, "ignore_eos": True}
    answer = http.post("/v1/completions", json=body, timeout=ANSWER_S)
    assert answer.json()["usage"]["completion_tokens"] == 8
