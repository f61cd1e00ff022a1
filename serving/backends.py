"""The backends that tritonserver may load: those it came with, and engine_process/ compiled.

The CPU engine, which engine_process runs, looks for cpu_decoder/ beside it.
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from build.cpu.library import decoder_libraries
from build.native_library import compiled_library, digest
from build.paths import CACHE, ROOT

ENGINE_PROCESS = "engine_process"
SOURCES = ROOT / "native" / ENGINE_PROCESS
# In an image with compiled engines there is nothing that parses protobuf's text format.
_IS_ASKED_FOR = re.compile(rf'^backend: "{ENGINE_PROCESS}"$', re.MULTILINE)


def backends_of(repository: Path, own: Path) -> Path:
    """The folder `own`, or one that also has engine_process, where the repository's engine asks for that.

    Raises Failure where it would have to be compiled and can't be.
    """
    config = repository / "tensorrt_llm" / "config.pbtxt"
    if not config.is_file() or not _IS_ASKED_FOR.search(config.read_text(encoding="utf-8")):
        return own
    files = [_backend_library(), *decoder_libraries().values(), *sorted(SOURCES.glob("*.py"))]
    folder = CACHE / f"backends-{digest(*files, str(own))}"
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


def _backend_library() -> Path:
    return compiled_library(
        f"triton_{ENGINE_PROCESS}", sorted(SOURCES.glob("*.c")), sorted(SOURCES.glob("*.h"))
    )
