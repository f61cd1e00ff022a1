"""Load through the whole stack: HTTP in, server-sent events out."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx2 as httpx

REQUEST_TIMEOUT_S = 120


def tokens_per_second(url: str, model: str, prompts: Sequence[list[int]], num_tokens: int) -> float:
    """Output tokens per second of one streamed completion per prompt, all at once."""
    return asyncio.run(_measure(url, model, prompts, num_tokens))


async def _measure(url: str, model: str, prompts: Sequence[list[int]], num_tokens: int) -> float:
    async with httpx.AsyncClient(base_url=url, timeout=REQUEST_TIMEOUT_S) as client:
        start = time.perf_counter()
        counts = await asyncio.gather(
            *(_stream(client, _body(model, prompt, num_tokens)) for prompt in prompts)
        )
        return sum(counts) / (time.perf_counter() - start)


def _body(model: str, prompt: list[int], num_tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": num_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def _stream(client: httpx.AsyncClient, body: dict[str, Any]) -> int:
    """Number of tokens that the server counted, once the stream has ended."""
    async with client.stream("POST", "/v1/completions", json=body) as answer:
        answer.raise_for_status()
        frames = b"".join([chunk async for chunk in answer.aiter_raw()]).split(b"\n\n")
    usage = json.loads(frames[-3].removeprefix(b"data: "))["usage"]
    return int(usage["completion_tokens"])
