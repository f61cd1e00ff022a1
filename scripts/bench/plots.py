"""PNG plots; matplotlib is fetched apart from the product, by its lock, when one is drawn."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from build.errors import Failure
from build.locked_wheels import install
from build.paths import CACHE, ROOT

_LOCK = Path(__file__).with_name("matplotlib.txt")
_FOLDER = CACHE / f"matplotlib-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]}"


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
    if not _FOLDER.exists():
        print("fetching matplotlib", flush=True)
        install(_LOCK, _FOLDER)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench.draw", str(path)],
        input=json.dumps(asdict(plot)),
        text=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(_FOLDER)},
        check=False,
    )
    if done.returncode:
        raise Failure(f"matplotlib could not draw {path}: {done.stderr.strip().splitlines()[-1]}")
    print(f"written to {path}", flush=True)
