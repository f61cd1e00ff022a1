"""PNG plots; matplotlib is fetched apart from the product, by its lock, when one is drawn."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from build.locked_wheels import fetched

_LOCK = Path(__file__).with_name("matplotlib.txt")


@dataclass(frozen=True)
class Line:
    """Points in order, and what the legend calls them; `spread` is the least and the most of each y."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Plot:
    """Axes whose scale is logarithmic in x."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]


def draw(plot: Plot, path: Path) -> None:
    """Writes the PNG file; raises Failure when matplotlib can't be had."""
    # Behind the product's own packages.
    sys.path.append(str(fetched("matplotlib", _LOCK)))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for line in plot.lines:
        (drawn,) = axes.plot(line.x, line.y, marker="o", label=line.name)
        if line.spread:
            least, most = zip(*line.spread, strict=True)
            axes.vlines(line.x, least, most, color=drawn.get_color(), alpha=0.4, linewidth=4)
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label, xscale="log")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
    print(f"written to {path}", flush=True)
