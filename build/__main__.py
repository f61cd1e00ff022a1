"""Command line of the build: `python -m build --help`."""

import argparse
import errno
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console

from build.backend_choice import BACKENDS, CPU, LLM_API, choose_backend
from build.build_engine import Order, build_engine
from build.cpu.engine import NO_PRECISIONS, PRECISIONS
from build.errors import BuildError
from build.gpus import detected_gpus
from build.llm_api.build import MAX_NUM_SEQS, LlmApiOrder, build_llm_api
from build.progress import Reporter
from build.tensorrt_llm import engine_build, order, recipe
from build.tensorrt_llm.machine import this_machine

ENGINES = Path(__file__).parent.parent / "engines"


# Options that are settings of a recipe, under names of their own.
_SHORTHANDS = {
    "tp": "tp_size",
    "pp": "pp_size",
    "max_seq_len": "build.max_seq_len",
    "max_batch_size": "build.max_batch_size",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds what the arguments ask for; returns the exit status."""
    values = _parse(arguments)
    reporter = Reporter(Console(stderr=True))
    return exit_status(lambda: _build(values, reporter), reporter.say)


def exit_status(build: Callable[[], object], say: Callable[[str], None]) -> int:
    """Runs a build; says in one sentence what stopped it."""
    try:
        build()
    except (BuildError, OSError) as error:
        say(f"error: {_sentence(error)}")
        return 1
    except KeyboardInterrupt as stop:
        say("error: The build was interrupted; no engine was changed.")
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)
    return 0


def _build(values: argparse.Namespace, reporter: Reporter) -> None:
    settings = _settings(values)
    has_gpu_options = bool(values.recipe or values.lora or values.config or settings)
    backend = choose_backend(values.backend, values.model, values.precision, has_gpu_options, detected_gpus)
    if backend == CPU:
        if values.precision not in (None, *PRECISIONS):
            raise BuildError(
                f"PRECISION: the CPU engine has no {values.precision}; choose {' or '.join(PRECISIONS)}."
            )
        precision = values.precision or PRECISIONS[0]
        build_engine(
            Order(values.model, values.name, values.served_model_name, precision, values.engines_dir),
            reporter,
        )
        return
    if backend == LLM_API:
        build_llm_api(_llm_api_order(values), reporter)
        return
    wanted = order.Order(
        model=values.model,
        name=values.name,
        served_model_name=values.served_model_name,
        precision=values.precision,
        recipe=values.recipe,
        settings=settings,
        adapters=tuple(shlex.split(values.lora)),
        serving=_serving(values.config),
        engines=values.engines_dir,
    )
    engine_build.build_tensorrt_llm(wanted, this_machine, reporter, os.environ)


def _llm_api_order(values: argparse.Namespace) -> LlmApiOrder:
    if values.recipe or values.set or values.precision:
        raise BuildError(
            "BACKEND=llmapi loads the checkpoint as it is: RECIPE, SET and PRECISION change nothing."
        )
    return LlmApiOrder(
        model=values.model,
        name=values.name,
        served_model_name=values.served_model_name,
        tensor_parallel=_count("TP", values.tp or "1"),
        pipeline_parallel=_count("PP", values.pp or "1"),
        max_model_len=_count("MAX_SEQ_LEN", values.max_seq_len) if values.max_seq_len else None,
        max_num_seqs=_count("MAX_BATCH_SIZE", values.max_batch_size or str(MAX_NUM_SEQS)),
        adapters=tuple(shlex.split(values.lora)),
        serving=_serving(values.config),
        engines=values.engines_dir,
    )


def _count(variable: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise BuildError(f"{variable} must be a whole number, 1 at least, not {text!r}.")
    return int(text)


def _settings(values: argparse.Namespace) -> tuple[str, ...]:
    short = [
        f"{name}={getattr(values, option)}" for option, name in _SHORTHANDS.items() if getattr(values, option)
    ]
    return (*short, *shlex.split(values.set))


def _serving(text: str) -> dict[str, str]:
    pairs = [setting.partition("=") for setting in shlex.split(text)]
    for name, equals, value in pairs:
        if not name or not equals or not value:
            raise BuildError(f"CONFIG: {name!r} is not of the form name=value.")
    return {name: value for name, _, value in pairs}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m build", description="Turns a model into an engine folder."
    )
    add = parser.add_argument
    add("--model", type=Path, help="a GGUF file or a Hugging Face folder (default: the embedded model)")
    add("--name", help="the engine folder's name (default: after the model)")
    add("--served-model-name", help="what clients call the model (default: after the model)")
    add(
        "--precision",
        choices=sorted({*PRECISIONS, *NO_PRECISIONS, *recipe.PRECISIONS}),
        help=f"how weights are stored (CPU: {PRECISIONS[0]}; TensorRT-LLM: as the checkpoint has them)",
    )
    add("--engines-dir", type=Path, default=ENGINES, help="where engine folders lie (%(default)s)")
    add("--backend", choices=BACKENDS, help="default: tensorrt_llm where GPUs and a recipe for the model are")
    gpu = parser.add_argument_group("TensorRT-LLM").add_argument
    gpu(
        "--recipe",
        help="a name of build/tensorrt_llm/recipes, or a .toml file (default: by size and precision)",
    )
    gpu("--tp", help="GPUs that share each layer")
    gpu("--pp", help="groups of GPUs that share the layers out")
    gpu("--max-seq-len", help="longest prompt and answer together, in tokens")
    gpu("--max-batch-size", help="sequences that run at the same time")
    gpu("--set", default="", help="more flags of upstream's commands: name=value ...")
    gpu("--lora", default="", help="adapters: name=folder ...")
    gpu("--config", default="", help="parameters of the rendered tensorrt_llm/config.pbtxt: name=value ...")
    return parser.parse_args(arguments)


def _sentence(error: BuildError | OSError) -> str:
    if isinstance(error, BuildError):
        return str(error)
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}The disk is full; no engine was changed."
    return f"{where}{error.strerror}."


def _terminate(number: int, _: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
