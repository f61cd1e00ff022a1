"""Which engine `make serve` serves: the built one, or with ENGINE one that writes known words."""

from collections.abc import Mapping
from pathlib import Path

from build.errors import Failure
from build.paths import CACHE
from scripts.replay.native_repository import render_native_replay
from scripts.replay.options import read_options
from scripts.replay.repository import render_replay

_RENDER = {"replay": render_replay, "native-replay": render_native_replay}


def chosen_repository(engine: Path, repository: Path, variables: Mapping[str, str]) -> Path:
    """The engine's own repository, or with ENGINE one where a replay engine has taken its place."""
    choice = variables.get("ENGINE", "")
    if not choice:
        return repository
    if choice not in _RENDER:
        raise Failure(f"ENGINE must be {' or '.join(_RENDER)} or left out, not {choice!r}")
    # One for each server that may run at the same time.
    target = CACHE / f"replay-{variables.get('TRITON_GRPC_PORT') or 8001}" / "model_repository"
    _RENDER[choice](repository, engine, target, read_options(variables))
    return target
