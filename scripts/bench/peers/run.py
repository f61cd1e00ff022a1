"""Every server in turn, round after round, and what came out in the end."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx2 as httpx

from build.errors import Failure
from build.paths import LOGS
from scripts.bench.peers.load import TIMEOUT_S, Broken, Load, drive, question
from scripts.bench.peers.servers import SERVERS, Server
from scripts.bench.plots import Line, Plot
from serving import ports
from serving.health import frontend_answers
from serving.process import Process
from serving.supervisor import Supervisor

CONCURRENCIES = {"short": (1, 4, 8, 16, 32), "long": (1, 4, 16)}
LEAST_REQUESTS = 4
STOP_S = 30

HEADING = (
    "The same load on other servers, medians of the rounds\n"
    "prompts  at once  server         tokens/s (least - most)   TTFT ms"
)


@dataclass(frozen=True)
class Figure:
    """Of one round: tokens of output per second, and milliseconds as the median over its requests."""

    server: str
    prompts: str
    concurrency: int
    round: int
    tokens_per_s: float
    ttft_ms: float


@dataclass(frozen=True)
class Summary:
    """Medians over the rounds, with the least and the most of the rate."""

    server: str
    prompts: str
    concurrency: int
    tokens_per_s: float
    least: float
    most: float
    ttft_ms: float


def measure_peers() -> Iterator[Summary]:
    """PEERS: 1 for all, or names, comma separated; ROUNDS: how often each is started (2)."""
    names = chosen(os.environ.get("PEERS") or "1")
    rounds = rounds_of(os.environ.get("ROUNDS") or "2")
    figures: list[Figure] = []
    for number in range(rounds):
        # Every other round backwards: none always comes after the same one.
        for name in names if number % 2 == 0 else reversed(names):
            figures += _measure(name, number)
    yield from summarize(figures)


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


def summarize(figures: Sequence[Figure]) -> list[Summary]:
    """Ordered by prompts, concurrency and server."""
    loads = sorted({(it.prompts, it.concurrency, it.server) for it in figures})
    return [
        _summary([it for it in figures if (it.prompts, it.concurrency, it.server) == load]) for load in loads
    ]


def _summary(same: Sequence[Figure]) -> Summary:
    rates = [it.tokens_per_s for it in same]
    return Summary(
        same[0].server,
        same[0].prompts,
        same[0].concurrency,
        statistics.median(rates),
        min(rates),
        max(rates),
        statistics.median(it.ttft_ms for it in same),
    )


def plots(summaries: Sequence[Summary]) -> dict[str, Plot]:
    """Tokens/s against concurrency and against latency, for short and for long prompts."""
    drawn: dict[str, Plot] = {}
    for prompts in sorted({it.prompts for it in summaries}):
        drawn |= _plots(prompts, [it for it in summaries if it.prompts == prompts])
    return drawn


def _plots(prompts: str, summaries: Sequence[Summary]) -> Mapping[str, Plot]:
    rates, latencies = [], []
    for server in sorted({it.server for it in summaries}):
        own = [it for it in summaries if it.server == server]
        spread = [(it.least, it.most) for it in own]
        tokens_per_s = [it.tokens_per_s for it in own]
        rates.append(Line(server, [it.concurrency for it in own], tokens_per_s, spread))
        latencies.append(Line(server, [it.ttft_ms for it in own], tokens_per_s))
    title = f"SmolLM2-135M-Instruct, {prompts} prompts, 128 new tokens"
    return {
        f"peers-{prompts}-concurrency": Plot(title, "requests at once", "output tokens/s", rates),
        f"peers-{prompts}-latency": Plot(
            title, "time to first token, median, ms", "output tokens/s", latencies
        ),
    }


def line(row: Summary) -> str:
    rates = f"{row.tokens_per_s:9.0f} ({row.least:.0f} - {row.most:.0f})"
    return f"{row.prompts:7}  {row.concurrency:7}  {row.server:13}{rates:26}{row.ttft_ms:8.0f}"
