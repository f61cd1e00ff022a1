"""`make soak`: load with random faults on a stack of its own, and a verdict."""

import asyncio
import math
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import httpx2 as httpx

from build.errors import Failure, run
from build.paths import LOGS
from scripts.bench.stack import HOST, Stack, children, engine_folder, served
from scripts.replay.check import read_count, words_of
from scripts.soak.companions import check_properties, fuzz
from scripts.soak.counters import IN_FLIGHT, SEQUENCES, Counts, FrontendCounters, leaks, settled
from scripts.soak.faults import kill_now_and_then
from scripts.soak.scenarios import SCENARIOS, Soak, client

LOG = "soak.log"
COUNT_FILE = LOGS / "soak-sequences"
DEFAULT_WORKERS = "2"
MAX_TOKENS = 100
KILL_EVERY_S = 45.0
NUM_CLIENTS = 24
SETTLE_S = 60
# Of the time; caches and pools reach their size in it.
WARM_UP = 0.2
STACK = {
    "SETTINGS_FILE": os.devnull,
    "ENGINE": "replay",
    "TOKENS_PER_SECOND": "200",
    "JITTER": "0.5",
    "SEND_TIMEOUT_S": "2",
    "LOG_LEVEL": "warning",
    "SEQUENCE_COUNT_FILE": str(COUNT_FILE),
}

Companion: TypeAlias = Callable[[Soak, float], Awaitable[None]]
"""What runs until a time of the event loop."""


@dataclass(frozen=True)
class Outcome:
    before: Counts
    after: Counts
    complaints: list[str]


def main() -> int:
    """0 when every promise was kept."""
    minutes = _minutes(os.environ.get("MINUTES") or "10")
    workers = os.environ.get("WORKERS") or DEFAULT_WORKERS
    key = secrets.token_hex()
    with served(log=LOG, **STACK, WORKERS=workers, API_KEYS=key) as stack:
        print(f"soaking it for {minutes:g} minutes: {NUM_CLIENTS} clients, WORKERS={workers}", flush=True)
        print(f"its log is {LOGS / LOG}", flush=True)
        outcome, soak = asyncio.run(_soak(stack, key, int(workers), 60 * minutes))
    return _report(outcome, soak)


async def _soak(stack: Stack, key: str, num_workers: int, duration_s: float) -> tuple[Outcome, Soak]:
    frontend = FrontendCounters(lambda: children(stack.pid, "frontend")[0], num_workers, LOGS / LOG)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"Authorization": f"Bearer {key}"}

    def read() -> Counts:
        return {**frontend.read(), SEQUENCES: read_count(COUNT_FILE)}

    url, address = f"http://{HOST}:{stack.port}", (HOST, stack.port)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, limits=limits) as http:
        words = words_of(engine_folder())
        soak = Soak(http, address, key, stack.model, words, MAX_TOKENS, SCENARIOS)
        outcome = await soak_for(
            soak,
            read,
            duration_s,
            lambda: kill_now_and_then(soak.outages, http, stack.pid, KILL_EVERY_S),
            companions=(fuzz, check_properties),
        )
    return outcome, soak


async def soak_for(
    soak: Soak,
    read: Callable[[], Counts],
    duration_s: float,
    disturb: Callable[[], Awaitable[None]] | None = None,
    settle_s: float = SETTLE_S,
    companions: Sequence[Companion] = (),
) -> Outcome:
    """`companions` are a part of the load; `disturb` runs beside it after the warm-up, until its end."""
    await _load(soak, companions, WARM_UP * duration_s)
    before = await asyncio.to_thread(_quiet, read, settle_s)
    disturbing = asyncio.ensure_future(disturb()) if disturb is not None else None
    await _load(soak, companions, (1 - WARM_UP) * duration_s)
    await _end(soak, disturbing)
    after = await asyncio.to_thread(settled, read, before, settle_s)
    return Outcome(before, after, [*leaks(before, after), *soak.broken])


async def _load(soak: Soak, companions: Sequence[Companion], duration_s: float) -> None:
    until = asyncio.get_running_loop().time() + duration_s
    clients = [client(soak, until) for _ in range(NUM_CLIENTS)]
    await asyncio.gather(*clients, *(companion(soak, until) for companion in companions))


def _quiet(read: Callable[[], Counts], settle_s: float) -> Counts:
    """The counts once nothing runs any more."""
    idle = {name: 0 if name in IN_FLIGHT else count for name, count in read().items()}
    return settled(read, idle, settle_s)


async def _end(soak: Soak, disturbing: "asyncio.Future[None] | None") -> None:
    if disturbing is None:
        return
    over = asyncio.ensure_future(soak.outages.wait_until_over())
    await asyncio.wait({disturbing, over}, return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    disturbing.cancel()
    with suppress(asyncio.CancelledError):
        await disturbing


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes < math.inf:
        raise Failure(f"MINUTES must be a number above 0, not {text!r}")
    return minutes


def _report(outcome: Outcome, soak: Soak) -> int:
    requests = ", ".join(f"{count} {name}" for name, count in sorted(soak.seen.items()))
    print(f"requests: {requests}; Triton was killed {soak.outages.num} times")
    for name in outcome.before:
        print(f"{name}: {outcome.before[name]} before, {outcome.after[name]} after")
    for complaint in outcome.complaints[:20]:
        print(f"BROKEN {complaint}")
    print(f"{len(outcome.complaints)} promises broken")
    return 1 if outcome.complaints else 0


if __name__ == "__main__":
    run(main)
