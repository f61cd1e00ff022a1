"""`make bench`: what the stack costs and what it gives, part by part; writes results/."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from build.errors import Failure, run
from build.paths import RESULTS
from scripts.bench.parts import (
    bare_engine,
    cancellation,
    decoders,
    first_token,
    loop_lag,
    overload,
    paced_streams,
    prompts,
    token_cost,
    workers,
)
from scripts.bench.peers import run as peers
from scripts.bench.plots import Plot, draw
from serving.supervisor import Stopped


def main() -> int:
    """Runs the chosen parts, or all, and prints each row as soon as it is measured."""
    results: dict[str, list[Any]] = {}
    try:
        for name in chosen_parts(os.environ):
            heading, measure, line = PARTS[name]
            print(f"\n{heading}", flush=True)
            rows = results[name] = []
            for row in measure():
                print(line(row), flush=True)
                rows.append(row)
            RESULTS.mkdir(exist_ok=True)
            for file, plot in PLOTS[name](rows).items() if name in PLOTS else ():
                draw(plot, RESULTS / f"{file}.png")
    except Stopped:
        return 1
    path = RESULTS / f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(
        json.dumps({name: [asdict(row) for row in rows] for name, rows in results.items()}, indent=1)
    )
    print(f"written to {path}")
    return 0


def chosen_parts(variables: Mapping[str, str]) -> list[str]:
    """Of PARTS, comma separated; else the peers with PEERS, all others without. Raises Failure."""
    chosen = [name.strip() for name in variables.get("PARTS", "").split(",") if name.strip()]
    for name in chosen:
        if name not in PARTS:
            raise Failure(f"PARTS may be {', '.join(PARTS)}, not {name!r}")
    if variables.get("PEERS"):
        return chosen or ["peers"]
    return chosen or [name for name in PARTS if name != "peers"]


# Name -> what its table says above, what measures its rows, how a row is printed.
PARTS: Mapping[str, tuple[str, Callable[[], Iterator[Any]], Callable[[Any], str]]] = {
    "engine": (bare_engine.HEADING, bare_engine.compare_with_engine, bare_engine.line),
    "steps": (decoders.STEPS_HEADING, decoders.measure_steps, decoders.step_line),
    "quality": (decoders.QUALITY_HEADING, decoders.measure_quality, decoders.quality_line),
    "prompts": (prompts.HEADING, prompts.measure_prompts, prompts.line),
    "first_token": (first_token.HEADING, first_token.measure_first_tokens, first_token.line),
    "cost": (token_cost.COST_HEADING, token_cost.measure_costs, token_cost.cost_line),
    "rate": (paced_streams.RATE_HEADING, paced_streams.measure_gpu_rate, paced_streams.line),
    "delay": (paced_streams.DELAY_HEADING, paced_streams.measure_partial_loads, paced_streams.line),
    "streams": (paced_streams.STREAMS_HEADING, paced_streams.measure_full_loads, paced_streams.line),
    "workers": (workers.HEADING, workers.measure_workers, workers.line),
    "overload": (overload.HEADING, overload.measure_overload, overload.line),
    "cancellation": (cancellation.HEADING, cancellation.measure_cancellation, cancellation.line),
    "metrics": (token_cost.RECORDING_HEADING, token_cost.measure_recording, token_cost.recording_line),
    "lag": (loop_lag.HEADING, loop_lag.measure_lag, loop_lag.line),
    "peers": (peers.HEADING, peers.measure_peers, peers.line),
}
# Of the parts that are drawn: rows -> plots by the names of their files.
PLOTS: Mapping[str, Callable[[Any], Mapping[str, Plot]]] = {
    "engine": bare_engine.plots,
    "cost": token_cost.plots,
    "peers": peers.plots,
}

if __name__ == "__main__":
    run(main)
