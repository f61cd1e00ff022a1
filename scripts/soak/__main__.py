"""`make soak`: load with random faults on a stack of its own, and a verdict."""

import asyncio
import math
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx2 as httpx

from build.errors import Failure, run
from build.paths import LOGS
from scripts.replay.check import words_of
from scripts.replay.sequence_count import read_count
from scripts.soak.counters import SEQUENCES, Counts, FrontendCounters
from scripts.soak.fuzzing import fuzz
from scripts.soak.killer import kill_now_and_then
from scripts.soak.process_tree import children
from scripts.soak.properties import check_properties
from scripts.soak.run import NUM_CLIENTS, Outcome
from scripts.soak.run import run as soak_for
from scripts.soak.scenarios import SCENARIOS, Soak
from serving import engine, ports
from serving import settings as serve_settings
from serving.health import TritonHealth, frontend_answers
from serving.process import Process
from serving.supervisor import Supervisor

LOG = LOGS / "soak.log"
COUNT_FILE = LOGS / "soak-sequences"
DEFAULT_WORKERS = "2"
MAX_TOKENS = 100
KILL_EVERY_S = 45.0
STOP_S = 60
STACK = {
    "ENGINE": "replay",
    "TOKENS_PER_SECOND": "200",
    "JITTER": "0.5",
    "SEND_TIMEOUT_S": "2",
    "LOG_LEVEL": "warning",
    "SEQUENCE_COUNT_FILE": str(COUNT_FILE),
}


def main() -> int:
    """0 when every promise was kept."""
    minutes = _minutes(os.environ.get("MINUTES") or "10")
    port, grpc_port, key = ports.free(), ports.free(), secrets.token_hex()
    workers = os.environ.get("WORKERS") or DEFAULT_WORKERS
    variables = {
        "WORKERS": workers,
        "PORT": str(port),
        "TRITON_GRPC_PORT": str(grpc_port),
        "API_KEYS": key,
        "HOST": "127.0.0.1",
    }
    # A bad value is told before anything is started.
    serve_settings.read({**os.environ, **STACK, **variables})
    with Supervisor() as supervisor:
        serve = Process(
            "serve",
            [sys.executable, "-m", "scripts.serve"],
            {**os.environ, **STACK, **variables},
            LOG,
            STOP_S,
        )
        supervisor.add(serve)
        url = f"http://127.0.0.1:{port}"
        supervisor.wait_until(lambda: frontend_answers(url, "/health/ready"), "starting a stack")
        print(f"soaking it for {minutes:g} minutes: {NUM_CLIENTS} clients, WORKERS={workers}", flush=True)
        print(f"its log is {LOG}", flush=True)
        outcome, soak = asyncio.run(_soak(url, grpc_port, key, serve.pid, int(workers), 60 * minutes))
    return _report(outcome, soak)


async def _soak(
    url: str, grpc_port: int, key: str, serve: int, num_workers: int, duration_s: float
) -> tuple[Outcome, Soak]:
    address = f"127.0.0.1:{grpc_port}"
    frontend = FrontendCounters(lambda: children(serve, "frontend")[0], num_workers, LOG)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    headers = {"Authorization": f"Bearer {key}"}

    def read() -> Counts:
        return {**frontend.read(), SEQUENCES: read_count(COUNT_FILE)}

    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, limits=limits) as http:
        host, port = url.removeprefix("http://").split(":")
        soak = Soak(
            http,
            (host, int(port)),
            key,
            TritonHealth(address).served_model_name(),
            words_of(_engine_folder(os.environ)),
            MAX_TOKENS,
            SCENARIOS,
        )
        outcome = await soak_for(
            soak,
            read,
            duration_s,
            lambda: kill_now_and_then(soak.outages, http, serve, KILL_EVERY_S),
            companions=(fuzz, check_properties),
        )
    return outcome, soak


def _engine_folder(variables: Mapping[str, str]) -> Path:
    return engine.choose(variables).folder


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
