"""An engine folder as `make build-engines` leaves it on a GPU machine, with empty engines."""

from pathlib import Path
from typing import Any

from build.repository import render_tensorrt_llm_repository
from build.tensorrt_llm.engine import read_tensorrt_llm_engine
from tests.build.compiled_engine import engine_config, write_compiled_engine
from tests.build.test_manifest import MANIFEST


def write_compiled_folder(folder: Path, config: dict[str, Any] | None = None) -> Path:
    """Writes the engine and its model repository; returns the folder."""
    engine = read_tensorrt_llm_engine(write_compiled_engine(folder / "engine", config or engine_config()))
    render_tensorrt_llm_repository(MANIFEST, engine, folder / "model_repository", adapters={}, overrides={})
    return folder
