"""Which engine `make serve` and `make bench` use, and how `python -m build` is asked for it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from build.engine_folder import engine_folder
from build.errors import BuildError
from build.manifest import Manifest, read_manifest
from build.source import EMBEDDED_NAME, find_source
from scripts.failure import Failure
from scripts.paths import ENGINES


@dataclass(frozen=True)
class Engine:
    """An engine folder, and the command that makes it or brings it up to date, if its model is at hand."""

    folder: Path
    build_command: list[str] | None

    @property
    def repository(self) -> Path:
        return self.folder / "model_repository"


def choose(variables: Mapping[str, str], engines: Path = ENGINES) -> Engine:
    """The engine that NAME, MODEL and PRECISION ask for; what they leave open stays as it was built."""
    try:
        return _choose(
            variables.get("NAME", ""), variables.get("MODEL", ""), variables.get("PRECISION", ""), engines
        )
    except BuildError as error:
        raise Failure(str(error)) from error


def _choose(name: str, model: str, precision: str, engines: Path) -> Engine:
    if not name:
        name = find_source(Path(model)).name if model else EMBEDDED_NAME
    folder = engine_folder(engines, name)
    built = read_manifest(folder)
    if built is not None:
        recorded = _recorded_model(built)
        if not model and recorded and not Path(recorded).exists():
            return Engine(folder, None)
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
