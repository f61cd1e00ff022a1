"""The plots of a part's rows."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.bench.parts.engine_comparison import Comparison
from scripts.bench.parts.token_cost import NATIVE, PROCESS, Cost
from scripts.bench.plots import Line, Plot, draw


def draw_part(part: str, rows: Sequence[Any], folder: Path) -> None:
    """Writes a PNG file for each plot of the part, if it has any."""
    if part in _PLOTS:
        for name, plot in _PLOTS[part](rows).items():
            draw(plot, folder / f"{name}.png")


def cost_plots(rows: Sequence[Cost]) -> dict[str, Plot]:
    """Cost per token against concurrency."""
    lines = []
    for engine, name in ((NATIVE, "engine in tritonserver"), (PROCESS, "engine in a process of its own")):
        for is_stream, way in ((True, "streamed"), (False, "whole answers")):
            own = [row for row in rows if (row.engine, row.is_stream) == (engine, is_stream)]
            costs = [row.total for row in own]
            lines.append(Line(f"{name}, {way}", [row.num_concurrent for row in own], costs))
    title = "CPU per token of all but the engine, one token a response"
    return {"cost": Plot(title, "answers at once", "microseconds", lines)}


def engine_plots(rows: Sequence[Comparison]) -> dict[str, Plot]:
    """Tokens per second against concurrency, of the stack and of its engine alone."""
    at_once = [row.concurrency for row in rows]
    lines = [
        Line("engine alone", at_once, [row.engine_tokens_per_s for row in rows]),
        Line("through HTTP", at_once, [row.stack_tokens_per_s for row in rows]),
    ]
    return {
        "engine": Plot("SmolLM2-135M-Instruct, int8, 2 cores", "requests at once", "output tokens/s", lines)
    }


_PLOTS: Mapping[str, Callable[[Sequence[Any]], Mapping[str, Plot]]] = {
    "cost": cost_plots,
    "engine": engine_plots,
}
