"""Which engine `make serve` and `make bench` use, and how `python -m build` is asked for it."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from build.checkpoint.source import EMBEDDED_NAME, find_source
from build.engine_folder import REPOSITORY, engine_folder
from build.errors import Failure
from build.gpus import Gpus, detected_gpus
from build.manifest import Manifest, read_manifest
from build.paths import ENGINES
from serving.gpu_engine import gpu_engines, is_gpu_engine, require_servable
from serving.process import Process
from serving.settings import without_keys
from serving.supervisor import Supervisor


@dataclass(frozen=True)
class Engine:
    """An engine folder, and the command that makes it or brings it up to date; None: serve it as it is."""

    folder: Path
    build_command: list[str] | None
    reason: str = ""
    """Why there is no command."""

    @property
    def repository(self) -> Path:
        return self.folder / REPOSITORY


def bring_up_to_date(chosen: Engine, supervisor: Supervisor) -> None:
    """Raises Failure with what the build says."""
    if chosen.build_command is None:
        print(f"serving {chosen.folder} as it is: {chosen.reason}", flush=True)
    else:
        supervisor.finish(Process("build", chosen.build_command, without_keys(os.environ)))


def choose(
    variables: Mapping[str, str],
    engines: Path = ENGINES,
    find_gpus: Callable[[], Gpus | None] = detected_gpus,
) -> Engine:
    """The engine that NAME, MODEL and PRECISION ask for; what they leave open stays as it was built.

    When they ask for none: the one that TensorRT-LLM compiled, if it and a GPU are here, or the embedded one.
    """
    name, model, precision = (variables.get(key, "") for key in ("NAME", "MODEL", "PRECISION"))
    # Another engine in its place (ENGINE) is for one that could be served here in any case.
    is_open = not (model or (variables.get("ENGINE") and not name))
    compiled = _compiled(name, engines, find_gpus) if is_open else None
    return compiled or _choose(name, model, precision, engines)


def _compiled(name: str, engines: Path, find_gpus: Callable[[], Gpus | None]) -> Engine | None:
    """A compiled engine takes hours to build: serving one never does."""
    if name:
        folders = [folder for folder in [engine_folder(engines, name)] if is_gpu_engine(folder)]
    else:
        folders = gpu_engines(engines)
    gpus = find_gpus() if folders else None
    if not folders or (gpus is None and not name):
        return None
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise Failure(f"there are several TensorRT-LLM engines; choose one of them by NAME=: {names}")
    require_servable(folders[0], gpus)
    return Engine(folders[0], None, "TensorRT-LLM compiled it")


def _choose(name: str, model: str, precision: str, engines: Path) -> Engine:
    if not name:
        name = find_source(Path(model)).name if model else EMBEDDED_NAME
    folder = engine_folder(engines, name)
    built = read_manifest(folder)
    if built is not None:
        if is_gpu_engine(folder) and precision in ("", built.inputs.precision):
            # Built with flags that only its own make command knows.
            return Engine(folder, None, "TensorRT-LLM compiled it")
        recorded = _recorded_model(built)
        if not model and recorded and not Path(recorded).exists():
            return Engine(folder, None, "the model it was built from is gone")
        model = model or recorded
        precision = precision or built.inputs.precision
    elif folder.exists() and not model and name != EMBEDDED_NAME:
        raise Failure(f"{folder} is of another version; build it again and give its MODEL=")
    return Engine(folder, _command({"--name": name, "--model": model, "--precision": precision}, engines))


def _recorded_model(built: Manifest) -> str:
    """The path the engine was built from; empty for the embedded model, whose origin is a package."""
    return built.origin if Path(built.origin).is_absolute() else ""


def _command(options: Mapping[str, str], engines: Path) -> list[str]:
    given = [part for option, value in options.items() if value for part in (option, value)]
    return [sys.executable, "-m", "build", "--engines-dir", str(engines), *given]
