"""Kills Triton, or one of its models' processes, again and again."""

import asyncio
import os
import random
import signal

import httpx2 as httpx

from scripts.soak.outages import Outages
from scripts.soak.process_tree import children

RECOVERY_S = 120
MODELS = ("preprocess", "tensorrt_llm", "postprocess")


async def kill_now_and_then(outages: Outages, http: httpx.AsyncClient, serve: int, every_s: float) -> None:
    """`serve` is the process of make serve, which starts Triton again; runs until it is cancelled."""
    while True:
        await asyncio.sleep(every_s * random.uniform(0.5, 1.5))  # noqa: S311
        await kill_once(outages, http, serve)


async def kill_once(outages: Outages, http: httpx.AsyncClient, serve: int) -> None:
    """Returns when requests are answered again; raises TimeoutError when they never are."""
    triton = children(serve, "tritonserver")[0]
    victims = [[triton], *(children(triton, f"/{model}/1/") for model in MODELS)]
    outages.begin()
    os.kill(random.choice(victims)[0], signal.SIGKILL)  # noqa: S311
    await asyncio.wait_for(_answered_again(http, serve, triton), RECOVERY_S)
    outages.end()


async def _answered_again(http: httpx.AsyncClient, serve: int, killed: int) -> None:
    while killed in children(serve, "tritonserver") or not await _is_ready(http):  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.2)


async def _is_ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == httpx.codes.OK
