"""Every server in turn, round after round, and what came out in the end."""

import os
import statistics
from collections.abc import Iterator

import httpx2 as httpx

from build.errors import Failure
from build.paths import LOGS, RESULTS
from scripts.bench.peers.chats import question
from scripts.bench.peers.load import TIMEOUT_S, Broken, Load, drive
from scripts.bench.peers.report import Figure, Summary, draw_all, summarize
from scripts.bench.peers.servers import SERVERS, Server
from serving import ports
from serving.health import frontend_answers
from serving.process import Process
from serving.supervisor import Supervisor

CONCURRENCIES = {"short": (1, 4, 8, 16, 32), "long": (1, 4, 16)}
LEAST_REQUESTS = 4
STOP_S = 30


def measure_peers() -> Iterator[Summary]:
    """PEERS: 1 for all, or names, comma separated; ROUNDS: how often each is started (2)."""
    names = chosen(os.environ.get("PEERS") or "1")
    rounds = rounds_of(os.environ.get("ROUNDS") or "2")
    figures: list[Figure] = []
    for number in range(rounds):
        # Every other round backwards: none always comes after the same one.
        for name in names if number % 2 == 0 else reversed(names):
            figures += _measure(name, number)
    summaries = summarize(figures)
    RESULTS.mkdir(exist_ok=True)
    draw_all(summaries, RESULTS)
    yield from summaries


def rounds_of(text: str) -> int:
    """A whole number, 1 at least."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise Failure(f"ROUNDS={text} must be a whole number, 1 at least")
    return int(text)


def chosen(text: str) -> list[str]:
    """What PEERS names, our own server always with them."""
    names = list(SERVERS) if text == "1" else ["ours", *(name for name in text.split(",") if name != "ours")]
    for name in names:
        if name not in SERVERS:
            raise Failure(f"PEERS={text}: there is no {name!r}; choose of {', '.join(SERVERS)}, or 1 for all")
    return names


def _measure(name: str, number: int) -> list[Figure]:
    port = ports.free()
    server = SERVERS[name](port)
    url = f"http://127.0.0.1:{port}"
    with Supervisor() as supervisor:
        environment = {**os.environ, **server.variables}
        log = LOGS / f"bench-{name}.log"
        supervisor.add(Process(name, server.command, environment, log=log, grace_s=STOP_S))
        supervisor.wait_until(lambda: frontend_answers(url, server.health), f"starting {name}")
        try:
            return _drive_all(name, number, url, server)
        except Broken as error:
            raise Failure(f"{name} answered {error}; its log is {log}") from error


def _drive_all(name: str, number: int, url: str, server: Server) -> list[Figure]:
    body = server.body if "model" in server.body else {**server.body, "model": _first_model(url)}
    # What the first requests pay for, compilation above all, is none of the figures.
    drive(url, body, [question("short", 10_000 + index) for index in range(2)], 2)
    figures = []
    first = 0
    for prompts, concurrencies in CONCURRENCIES.items():
        for concurrency in concurrencies:
            count = max(LEAST_REQUESTS, concurrency)
            questions = [question(prompts, index) for index in range(first, first + count)]
            first += count
            figure = _figure(name, prompts, concurrency, number, drive(url, body, questions, concurrency))
            figures.append(figure)
            print(f"{name}, {prompts}, {concurrency} at once: {figure.tokens_per_s:.0f} tokens/s", flush=True)
    return figures


def _first_model(url: str) -> str:
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        return str(client.get("/v1/models").raise_for_status().json()["data"][0]["id"])


def _figure(name: str, prompts: str, concurrency: int, number: int, load: Load) -> Figure:
    ttft = statistics.median(answer.first_text_s for answer in load.answers)
    return Figure(name, prompts, concurrency, number, load.tokens_per_s, 1e3 * ttft)
