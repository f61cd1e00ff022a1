"""An engine folder as `make build-engines` leaves it on a GPU machine, with empty engines."""

import shutil
from pathlib import Path
from typing import Any

from build.manifest import read_manifest
from build.repository import render_tensorrt_llm_repository
from build.tensorrt_llm.config import TOKENIZER_INFO
from build.tensorrt_llm.engine import read_tensorrt_llm_engine
from tests.build.compiled_engine import engine_config, write_compiled_engine
from tests.build.test_manifest import MANIFEST


def write_compiled_folder(
    folder: Path, config: dict[str, Any] | None = None, like: Path | None = None
) -> Path:
    """Writes the engine and its model repository; with tokenizer and guides as for the model of `like`."""
    manifest = MANIFEST
    engine = read_tensorrt_llm_engine(write_compiled_engine(folder / "engine", config or engine_config()))
    if like is not None:
        manifest = read_manifest(like) or MANIFEST
        shutil.copytree(like / "tokenizer", folder / "tokenizer")
        (folder / TOKENIZER_INFO).write_text("{}")
    render_tensorrt_llm_repository(manifest, engine, folder / "model_repository", adapters={}, overrides={})
    return folder
