"""Command line of the build: `python -m build --help`."""

import argparse
import errno
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from build.build_engine import Order, build_engine
from build.errors import BuildError
from build.openvino_weights import PRECISIONS
from build.progress import Reporter

ENGINES = Path(__file__).parent.parent / "engines"


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds what the arguments ask for; returns the exit status."""
    order = _order(arguments)
    reporter = Reporter(Console(stderr=True))
    return exit_status(lambda: build_engine(order, reporter), reporter.say)


def exit_status(build: Callable[[], object], say: Callable[[str], None]) -> int:
    """Runs a build; says in one sentence what stopped it."""
    try:
        build()
    except (BuildError, OSError) as error:
        say(f"error: {_sentence(error)}")
        return 1
    except KeyboardInterrupt as stop:
        say("error: The build was interrupted; nothing was left behind.")
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    return 0


def _order(arguments: Sequence[str] | None) -> Order:
    parser = argparse.ArgumentParser(
        prog="python -m build", description="Turns a model into an engine folder."
    )
    parser.add_argument(
        "--model", type=Path, help="a GGUF file or a Hugging Face folder (default: the embedded model)"
    )
    parser.add_argument("--name", help="the engine folder's name (default: after the model)")
    parser.add_argument("--served-model-name", help="what clients call the model (default: after the model)")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="int8", help="how weights are stored (%(default)s)"
    )
    parser.add_argument(
        "--engines-dir", type=Path, default=ENGINES, help="where engine folders lie (%(default)s)"
    )
    values = parser.parse_args(arguments)
    return Order(values.model, values.name, values.served_model_name, values.precision, values.engines_dir)


def _sentence(error: BuildError | OSError) -> str:
    if isinstance(error, BuildError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}The disk is full; nothing was left behind."
    return f"{where}{error.strerror}."


def _terminate(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
