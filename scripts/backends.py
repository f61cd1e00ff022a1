"""The backends that tritonserver may load: those it came with, and engine_process/ compiled."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from build.repository import CONFIG, ENGINE_MODEL, read_config
from scripts.native_library import compiled_library, digest
from scripts.paths import CACHE, ROOT

ENGINE_PROCESS = "engine_process"
SOURCES = ROOT / ENGINE_PROCESS


def backends_of(repository: Path, own: Path) -> Path:
    """The folder `own`, or one that also has engine_process, where the repository's engine asks for that.

    Raises Failure where it would have to be compiled and can't be.
    """
    config = repository / ENGINE_MODEL / CONFIG
    if not config.is_file() or read_config(config).backend != ENGINE_PROCESS:
        return own
    files = [_library(), *sorted(SOURCES.glob("*.py"))]
    # By name too: it is another one for another Python.
    folder = CACHE / f"{ENGINE_PROCESS}-{digest(*files)}-beside-{own.parent.name}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=CACHE) as scratch:
            _assemble(Path(scratch) / "whole", files, own)
            (Path(scratch) / "whole").rename(folder)
    return folder


def _assemble(folder: Path, files: Sequence[Path], own: Path) -> None:
    (folder / ENGINE_PROCESS).mkdir(parents=True)
    for file in files:
        shutil.copy2(file, folder / ENGINE_PROCESS)
    for backend in own.iterdir():
        (folder / backend.name).symlink_to(backend)


def _library() -> Path:
    return compiled_library(ENGINE_PROCESS, sorted(SOURCES.glob("*.c")), sorted(SOURCES.glob("*.h")))
