"""`make bench`: output tokens per second through the whole stack against the engine alone, in one run."""

import json
import os
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts import bench_http, ports, serve_settings
from scripts.bench_engine import BareEngine
from scripts.failure import run
from scripts.health import TritonHealth, frontend_answers
from scripts.paths import ENGINES, LOGS, ROOT
from scripts.process import Process
from scripts.stop_request import Stopped
from scripts.supervisor import Supervisor

CONCURRENCIES = (1, 8, 16, 32)
NUM_ROUNDS = 5
NUM_PROMPT_TOKENS = 64
NUM_NEW_TOKENS = 64
RESULTS = ROOT / "results"


@dataclass(frozen=True)
class Comparison:
    """Medians over the rounds; `ratio` is the median of each round's own ratio."""

    concurrency: int
    stack_tokens_per_s: float
    engine_tokens_per_s: float
    ratio: float


def main() -> int:
    """Prints the table and writes it to results/."""
    settings = serve_settings.read(
        os.environ | {"PORT": str(ports.free()), "TRITON_GRPC_PORT": str(ports.free())}
    )
    repository = ENGINES / (os.environ.get("NAME") or "smollm2-135m-instruct") / "model_repository"
    environment = os.environ | {"PORT": str(settings.port), "TRITON_GRPC_PORT": str(settings.grpc_port)}
    try:
        with Supervisor() as supervisor:
            command = [sys.executable, "-m", "scripts.serve"]
            supervisor.add(Process("make serve", command, environment, log=LOGS / "bench.log", grace_s=60))
            supervisor.wait_until(
                lambda: frontend_answers(settings.url, "/health/ready"), "starting the stack"
            )
            model = TritonHealth(settings.grpc_address).served_model_name()
            engine = BareEngine(repository)
            comparisons = [compare(settings.url, model, engine, number) for number in CONCURRENCIES]
    except Stopped:
        return 1
    _write(comparisons)
    return 0


def compare(url: str, model: str, engine: BareEngine, concurrency: int) -> Comparison:
    """Interleaves the two, so that both see the same machine."""
    rounds = []
    for number in range(NUM_ROUNDS + 1):
        prompts = prompts_of(concurrency, seed=number)
        stack = bench_http.tokens_per_second(url, model, prompts, NUM_NEW_TOKENS)
        rounds.append((stack, engine.tokens_per_second(prompts, NUM_NEW_TOKENS)))
        print(
            f"{concurrency:3} concurrent, round {number}: {rounds[-1][0]:.0f} / {rounds[-1][1]:.0f}",
            flush=True,
        )
    # The first round warms both up.
    counted = rounds[1:]
    return Comparison(
        concurrency,
        statistics.median(stack for stack, _ in counted),
        statistics.median(engine_alone for _, engine_alone in counted),
        statistics.median(stack / engine_alone for stack, engine_alone in counted),
    )


def prompts_of(concurrency: int, seed: int) -> list[list[int]]:
    """Different ids for each request and round: no prefix is found in the cache."""
    # Ids above the control tokens, below the smallest vocabulary served.
    numbers = random.Random(concurrency * 1000 + seed)  # noqa: S311 - not a secret
    return [[numbers.randrange(300, 30_000) for _ in range(NUM_PROMPT_TOKENS)] for _ in range(concurrency)]


def _write(comparisons: list[Comparison]) -> None:
    print("\nconcurrent   stack tok/s   engine tok/s   ratio")
    for it in comparisons:
        rates = f"{it.stack_tokens_per_s:11.0f}   {it.engine_tokens_per_s:12.0f}"
        print(f"{it.concurrency:10}   {rates}   {it.ratio:5.2f}")
    RESULTS.mkdir(exist_ok=True)
    path: Path = RESULTS / f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps([asdict(comparison) for comparison in comparisons], indent=1))
    print(f"written to {path}")


if __name__ == "__main__":
    run(main)
