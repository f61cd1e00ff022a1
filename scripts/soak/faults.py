"""Triton, or one of its models' processes, is killed again and again.

Requests that overlap with an outage may fail, in the ways that are promised.
"""

import asyncio
import os
import random
import signal

import httpx2 as httpx

from scripts.bench.stack import children

RECOVERY_S = 120
LOOK_EVERY_S = 0.2
NUM_READY = 25
# What the command lines of the models' processes have; the engine's is engine_process's own.
MODELS = ("/preprocess/", "engine_host.py", "/postprocess/")
# Of its own: hypothesis, beside us, sets the state of the module's.
DICE = random.Random()  # noqa: S311 - load, not secrets


class Outages:
    def __init__(self) -> None:
        self._num = 0
        self._is_over = asyncio.Event()
        self._is_over.set()

    def begin(self) -> None:
        self._num += 1
        self._is_over.clear()

    def end(self) -> None:
        self._is_over.set()

    async def wait_until_over(self) -> None:
        await self._is_over.wait()

    @property
    def num(self) -> int:
        return self._num

    def since(self, num: int) -> bool:
        """Whether there was an outage at any time after `num` was read."""
        return not self._is_over.is_set() or self._num > num


async def kill_now_and_then(outages: Outages, http: httpx.AsyncClient, serve: int, every_s: float) -> None:
    """`serve` is the process of make serve, which starts Triton again; runs until it is cancelled."""
    while True:
        await asyncio.sleep(every_s * DICE.uniform(0.5, 1.5))
        await kill_once(outages, http, serve)


async def kill_once(outages: Outages, http: httpx.AsyncClient, serve: int) -> None:
    """Returns when requests are answered again; raises TimeoutError when they never are."""
    triton = children(serve, "tritonserver")[0]
    victims = [[triton], *(children(triton, model) for model in MODELS)]
    outages.begin()
    os.kill(DICE.choice(victims)[0], signal.SIGKILL)
    await asyncio.wait_for(_answered_again(http, serve, triton), RECOVERY_S)
    outages.end()


async def _answered_again(http: httpx.AsyncClient, serve: int, killed: int) -> None:
    """By all workers: each looks after Triton every two seconds, and whoever is idle takes a connection."""
    while killed in children(serve, "tritonserver"):  # noqa: ASYNC110 - no event
        await asyncio.sleep(LOOK_EVERY_S)
    num_ready = 0
    while num_ready < NUM_READY:
        await asyncio.sleep(LOOK_EVERY_S)
        num_ready = num_ready + 1 if await _is_ready(http) else 0


async def _is_ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == httpx.codes.OK
