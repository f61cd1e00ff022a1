"""`make bench`: what the stack costs and what it gives, part by part; writes results/."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from build.failure import Failure, run
from build.paths import RESULTS
from scripts.bench.h200 import H200_TOKENS_PER_S
from scripts.bench.paced_streams import (
    FULL_LOADS,
    PARTIAL_LOADS,
    Steadiness,
    measure_gpu_rate,
    measure_steadiness,
)
from scripts.bench.part_plots import draw_part
from scripts.bench.parts.cancellation import Cancellation, measure_cancellation
from scripts.bench.parts.decoders import Quality, StepTime, measure_quality, measure_steps
from scripts.bench.parts.engine_comparison import Comparison, compare_with_engine
from scripts.bench.parts.first_token import FirstToken, measure_first_tokens
from scripts.bench.parts.loop_lag import Lag, measure_lag
from scripts.bench.parts.overload import Overload, measure_overload
from scripts.bench.parts.prompts import PromptCost, measure_prompts
from scripts.bench.parts.token_cost import Cost, measure_costs
from scripts.bench.parts.workers import WorkersRow, measure_workers
from scripts.bench.peers.report import Summary
from scripts.bench.peers.run import measure_peers
from scripts.bench.process_cpu import STACK_KINDS
from scripts.bench.recording import RecordingCost, measure_recording
from serving.stop_request import Stopped


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
            draw_part(name, rows, RESULTS)
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


def _partial_loads() -> Iterator[Steadiness]:
    for load in PARTIAL_LOADS:
        yield measure_steadiness(*load)


def _full_loads() -> Iterator[Steadiness]:
    for load in FULL_LOADS:
        yield measure_steadiness(*load)


def _comparison_line(row: Comparison) -> str:
    rates = f"{row.stack_tokens_per_s:11.0f}   {row.engine_tokens_per_s:12.0f}"
    return f"{row.concurrency:10}   {rates}   {row.ratio:5.2f}"


def _step_line(row: StepTime) -> str:
    times = "".join(f"{level:>10}{time:8.1f}" for level, time in row.by_level.items())
    return f"{row.texts:5}{row.before:9}{row.new:6}{times}"


def _quality_line(row: Quality) -> str:
    return f"{row.decoder:17}{row.perplexity:10.2f}{row.divergence:13.4f}{row.same_choice:13.1%}"


def _cost_line(row: Cost) -> str:
    kinds = "".join(f"{row.by_kind[kind]:14.0f}" for kind in (*STACK_KINDS, "engine"))
    way = "streamed" if row.is_stream else "whole"
    rates = f"{row.tokens_per_s:10.0f}{row.events_per_token:14.2f}"
    costs = f"{row.total:7.0f}{row.spread:8.0f}{kinds}"
    return f"{row.engine:15}{row.num_concurrent:10}   {way:8}{rates}{costs}"


def _steadiness_line(row: Steadiness) -> str:
    delays = f"{row.delay_p50:9.1f}{row.delay_p99:9.1f}{row.gap_p99:9.1f}{row.gap_max:9.1f}"
    last = len(row.memory) - 1
    memory = ", ".join(f"{row.memory[last * quarter // 4]:.0f}" for quarter in range(5))
    rates = f"{row.num_streams:7}{row.num_tokens:8}{row.tokens_per_s:10.0f}"
    return f"{rates}{delays}{row.events_per_token:13.2f}{row.cost:9.0f}   {memory}"


def _lag_line(row: Lag) -> str:
    return f"{row.name:29}{row.megabytes:6.2f}{row.status:8}{row.alone:12.0f}{row.together:13.0f}"


def _prompt_line(row: PromptCost) -> str:
    turn = row.turn or "-"
    alone = "-" if row.engine_ms is None else f"{row.engine_ms:.0f}"
    added = "-" if row.added_ms is None else f"{row.added_ms:.0f}"
    times = f"{row.ttft_ms:10.0f}{alone:>14}{added:>8}{row.tokens_per_s:13.0f}"
    return f"{turn:>4}{row.prompt_tokens:16}{row.cached_tokens:9}{times}"


def _first_token_line(row: FirstToken) -> str:
    return f"{row.prompt:6}{row.prompt_tokens:15}{row.median_ms:9.1f}{row.least_ms:8.1f}{row.most_ms:8.1f}"


def _peer_line(row: Summary) -> str:
    rates = f"{row.tokens_per_s:9.0f} ({row.least:.0f} - {row.most:.0f})"
    return f"{row.prompts:7}  {row.concurrency:7}  {row.server:13}{rates:26}{row.ttft_ms:8.0f}"


def _workers_line(row: WorkersRow) -> str:
    rates = f"{row.tokens_per_s:9.0f} ({row.least:.0f} - {row.most:.0f})"
    costs = f"{row.frontend:10.0f}{row.tritonserver:14.0f}{row.engine:8.0f}{row.client:8.0f}"
    return f"{row.num_workers:7}{row.num_cores:7}{row.share:7.1f}  {rates:27}{row.gain:5.2f}{costs}"


def _overload_line(row: Overload) -> str:
    gaps = "".join(f"{alone:9.0f}{flooded:9.0f}" for alone, flooded in (row.gap_p50, row.gap_p99))
    return f"{row.refused_per_s:9.0f}{row.refusal_p50:9.1f}{row.refusal_p99:9.1f}{gaps}"


def _cancellation_line(row: Cancellation) -> str:
    return f"{row.leaving:11}{row.num_left:8}{row.gone_p50:9.0f}{row.gone_p99:9.0f}{row.gone_max:9.0f}"


def _recording_line(row: RecordingCost) -> str:
    return f"{row.median:6.2f}  {row.least:5.2f}  {row.most:5.2f}"


_COST_HEADING = (
    "CPU microseconds per token of all but the engine, which is within tritonserver (native-replay)\n"
    f"or in a process of its own (replay), and writes {H200_TOKENS_PER_S:,} tokens/s at most\n"
    "engine         concurrent   answers   tokens/s  events/token  total  spread"
    + "".join(f"{kind:>14}" for kind in (*STACK_KINDS, "engine"))
)
_PACED_COLUMNS = (
    "delay behind the engine's schedule and gaps in ms, memory in MiB at the start and after each quarter\n"
    "streams  tokens  tokens/s delay p50      p99  gap p99      max events/token  us/token   memory"
)
_DELAY_HEADING = f"A quarter and half of the load: {_PACED_COLUMNS}"
_STREAMS_HEADING = f"Streams of 10 tokens/s for five minutes: {_PACED_COLUMNS}"
_RATE_HEADING = f"{H200_TOKENS_PER_S:,} tokens/s, as of an H200: {_PACED_COLUMNS}"
_LAG_HEADING = (
    "Longest answer of /health/live in ms while bodies come that are heavy work\n"
    "body                             MB  answer   one by one   8 at once"
)
_ENGINE_HEADING = "Through HTTP against the engine alone\nconcurrent   stack tok/s   engine tok/s   ratio"
_STEPS_HEADING = (
    "Milliseconds of a step: texts, ids before and new ids of each\n"
    "texts   before   new   at each level of CPUs"
)
_QUALITY_HEADING = (
    "Greedy choices and log-probs against the checkpoint with nothing rounded\n"
    "decoder          perplexity   divergence  same choice"
)
_PROMPT_HEADING = (
    "Time to the first token, through HTTP and of the engine alone\n"
    "turn   prompt tokens   cached   TTFT ms   engine's ms   added   new tok/s"
)
_TTFT_HEADING = (
    "Milliseconds to the first token, in front of an engine that computes nothing (native-replay)\n"
    "prompt  prompt tokens   median   least    most"
)
_WORKERS_HEADING = (
    "Frontend processes, flat out, and with a part of a core each; CPU microseconds per token\n"
    "workers  cores   each  tokens/s (least - most)     gain  frontend  tritonserver  engine  client"
)
_RECORDING_HEADING = "Microseconds to record a token for /metrics\nmedian  least   most"
_OVERLOAD_HEADING = (
    "Requests beyond the line: milliseconds to refuse them, and between the tokens of accepted streams\n"
    "refused/s      p50      p99  gap p50     then  gap p99     then"
)
_CANCELLATION_HEADING = (
    "Milliseconds from a client's leaving until its sequence has left the engine\n"
    "leaving     streams      p50      p99      max"
)
_PEER_HEADING = (
    "The same load on other servers, medians of the rounds\n"
    "prompts  at once  server         tokens/s (least - most)   TTFT ms"
)

# Name -> what its table says above, what measures its rows, how a row is printed.
PARTS: Mapping[str, tuple[str, Callable[[], Iterator[Any]], Callable[[Any], str]]] = {
    "engine": (_ENGINE_HEADING, compare_with_engine, _comparison_line),
    "steps": (_STEPS_HEADING, measure_steps, _step_line),
    "quality": (_QUALITY_HEADING, measure_quality, _quality_line),
    "prompts": (_PROMPT_HEADING, measure_prompts, _prompt_line),
    "first_token": (_TTFT_HEADING, measure_first_tokens, _first_token_line),
    "cost": (_COST_HEADING, measure_costs, _cost_line),
    "rate": (_RATE_HEADING, measure_gpu_rate, _steadiness_line),
    "delay": (_DELAY_HEADING, _partial_loads, _steadiness_line),
    "streams": (_STREAMS_HEADING, _full_loads, _steadiness_line),
    "workers": (_WORKERS_HEADING, measure_workers, _workers_line),
    "overload": (_OVERLOAD_HEADING, measure_overload, _overload_line),
    "cancellation": (_CANCELLATION_HEADING, measure_cancellation, _cancellation_line),
    "metrics": (_RECORDING_HEADING, measure_recording, _recording_line),
    "lag": (_LAG_HEADING, measure_lag, _lag_line),
    "peers": (_PEER_HEADING, measure_peers, _peer_line),
}

if __name__ == "__main__":
    run(main)
