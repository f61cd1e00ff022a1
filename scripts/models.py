"""`make models`: the engines that are here, and what serves each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from build.engine_folder import ENGINE, MANIFEST
from build.errors import run
from build.manifest import Manifest, read_manifest
from build.paths import ENGINES
from serving.gpu_engine import is_gpu_engine

COLUMNS = ("model", "runs on", "weights", "context", "size")
NEXT = "next: make serve NAME={}, then make chat"
EMPTY = "No engine is here. `make serve` builds and serves the embedded model, with MODEL= a folder or file."
UNREADABLE = "of another version; build it again and give its MODEL="


@dataclass(frozen=True)
class Engine:
    folder: Path
    manifest: Manifest | None
    """None: one of another version of this program."""


def main() -> int:
    """Prints a table of them."""
    print_engines(list(engines(ENGINES)), Console())
    return 0


def engines(folder: Path) -> Iterator[Engine]:
    """By name; unfinished ones begin with a dot."""
    return (Engine(path, read_manifest(path)) for path in sorted(folder.glob("[!.]*/")) if _is_engine(path))


def _is_engine(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def print_engines(found: list[Engine], console: Console) -> None:
    if not found:
        console.print(EMPTY, highlight=False, soft_wrap=True)
        return
    table = Table(box=SIMPLE, show_edge=False)
    table.add_column("engine", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for engine in found:
        table.add_row(engine.folder.name, *_facts(engine))
    console.print(table, highlight=False)
    console.print(NEXT.format(found[0].folder.name), highlight=False, soft_wrap=True)


def _facts(engine: Engine) -> tuple[str, ...]:
    if engine.manifest is None:
        return (UNREADABLE,)
    manifest = engine.manifest
    size = sum(file.stat().st_size for file in (engine.folder / ENGINE).rglob("*") if file.is_file())
    return (
        manifest.served_model_name,
        "GPUs" if is_gpu_engine(engine.folder) else "CPU",
        manifest.inputs.precision,
        f"{manifest.limits.max_model_len:,}",
        f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB",
    )


if __name__ == "__main__":
    run(main)
