"""Command line of the plan: `python -m build.plan --help`."""

import argparse
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from build.checkpoint.shapes import LLAMA_3_1, find_shape
from build.errors import BuildError
from build.gpus import Gpus, detected_gpus, named_gpus
from build.plan.layouts import Wish
from build.plan.precisions import find_precision
from build.plan.report import print_plan

_MODEL = "8b"
_CONTEXT = 8192
_CONCURRENCY = 32


def main(arguments: Sequence[str] | None = None, find_gpus: Callable[[], Gpus | None] = detected_gpus) -> int:
    """Prints what fits; the exit status is 1 when nothing does, 2 when the question is wrong."""
    values = _read(arguments)
    try:
        gpus = named_gpus(values.gpus) if values.gpus else find_gpus()
        if gpus is None:
            raise BuildError("nvidia-smi finds no GPU here; name those to plan for, as in GPUS=8xH100.")
        wish = _wish(values, gpus)
    except BuildError as error:
        Console(stderr=True).print(f"error: {error}", highlight=False, markup=False, soft_wrap=True)
        return 2
    folder = "FOLDER" if values.model.lower() in LLAMA_3_1 else values.model
    return 0 if print_plan(Console(), wish, gpus, folder) else 1


def _read(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m build.plan", description="Works out which GPUs a model needs."
    )
    parser.add_argument(
        "--model", default=_MODEL, help="8b, 70b, 405b, or a Hugging Face folder (%(default)s)"
    )
    parser.add_argument("--precision", default="", help="bf16, fp8, fp8-rowwise or int4-awq (the GPUs' best)")
    parser.add_argument(
        "--gpus", default="", help="such as 8xH100, or 2x8xH100 on two nodes (this machine's)"
    )
    parser.add_argument("--context", default=str(_CONTEXT), help="tokens of prompt and answer (%(default)s)")
    parser.add_argument("--concurrency", default=str(_CONCURRENCY), help="sequences at once (%(default)s)")
    return parser.parse_args(arguments)


def _wish(values: argparse.Namespace, gpus: Gpus) -> Wish:
    shape = find_shape(values.model)
    wish = Wish(
        shape,
        find_precision(values.precision, gpus.gpu),
        context=_whole_number("CONTEXT", values.context),
        concurrency=_whole_number("CONCURRENCY", values.concurrency),
    )
    if wish.context > shape.context:
        raise BuildError(f"CONTEXT: {wish.context} is longer than {shape.name}'s {shape.context} tokens.")
    return wish


def _whole_number(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise BuildError(f"{variable}: {text!r} is not a whole number above 0.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
