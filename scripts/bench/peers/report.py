"""Medians and plots out of the figures of all rounds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.plots import Line, Plot, draw


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


def draw_all(summaries: Sequence[Summary], folder: Path) -> None:
    """Tokens/s against concurrency and against latency, a PNG each for short and for long prompts."""
    for prompts in sorted({it.prompts for it in summaries}):
        _draw(prompts, [it for it in summaries if it.prompts == prompts], folder)


def _draw(prompts: str, summaries: Sequence[Summary], folder: Path) -> None:
    rates, latencies = [], []
    for server in sorted({it.server for it in summaries}):
        own = [it for it in summaries if it.server == server]
        spread = [(it.least, it.most) for it in own]
        tokens_per_s = [it.tokens_per_s for it in own]
        rates.append(Line(server, [it.concurrency for it in own], tokens_per_s, spread))
        latencies.append(Line(server, [it.ttft_ms for it in own], tokens_per_s))
    title = f"SmolLM2-135M-Instruct, {prompts} prompts, 128 new tokens"
    by_concurrency = Plot(title, "requests at once", "output tokens/s", rates)
    draw(by_concurrency, folder / f"peers-{prompts}-concurrency.png")
    by_latency = Plot(title, "time to first token, median, ms", "output tokens/s", latencies)
    draw(by_latency, folder / f"peers-{prompts}-latency.png")
