"""Draws the plot that comes as JSON on standard input; runs where matplotlib is."""

import json
import sys
from typing import Any

import matplotlib.pyplot as plt


def main() -> None:
    """The argument is the file to write."""
    plot: dict[str, Any] = json.load(sys.stdin)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for line in plot["lines"]:
        (drawn,) = axes.plot(line["x"], line["y"], marker="o", label=line["name"])
        if line["spread"]:
            least, most = zip(*line["spread"], strict=True)
            axes.vlines(line["x"], least, most, color=drawn.get_color(), alpha=0.4, linewidth=4)
    axes.set(title=plot["title"], xlabel=plot["x_label"], ylabel=plot["y_label"], xscale="log")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(sys.argv[1], dpi=110)


if __name__ == "__main__":
    main()
