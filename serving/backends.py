"""The backends that tritonserver may load: those it came with, and engine_process/ compiled.

The CPU engine, which engine_process runs, looks for cpu_decoder/ beside it, compiled for its CPU.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from build.locked_wheels import put_in_place
from build.native_library import compiled_library, digest, is_compiled
from build.paths import CACHE, ROOT

ENGINE_PROCESS = "engine_process"
_NATIVE = ROOT / "native"
_SOURCES = _NATIVE / ENGINE_PROCESS
# What the backends in C have in common.
TRITON = _NATIVE / "triton"
_DECODER = "cpu_decoder"
# The CPUs that its libraries are compiled for; the engine asks which one this is (decoder/cpu_level.py).
DECODER_CPUS = {"avx512": "x86_64_v4+avx512vnni", "avxvnni": "x86_64_v3+avxvnni", "avx2": "x86_64_v3"}
# In an image with compiled engines there is nothing that parses protobuf's text format.
_IS_ASKED_FOR = re.compile(rf'^backend: "{ENGINE_PROCESS}"$', re.MULTILINE)


def backends_of(repository: Path, own: Path) -> Path:
    """The folder `own`, or one that also has engine_process, where the repository's engine asks for that.

    Raises Failure where it would have to be compiled and can't be.
    """
    config = repository / "tensorrt_llm" / "config.pbtxt"
    if not config.is_file() or not _IS_ASKED_FOR.search(config.read_text(encoding="utf-8")):
        return own
    files = [*libraries(repository), *sorted(_SOURCES.glob("*.py"))]
    folder = CACHE / f"backends-{digest(*files, str(own))}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=CACHE) as scratch:
            _assemble(Path(scratch) / "whole", files, own)
            put_in_place(Path(scratch) / "whole", folder)
    return folder


def libraries(repository: Path = ROOT / "model_repository") -> list[Path]:
    """engine_process and what the CPU engine runs here, compiled; raises Failure when they can't be."""
    library = compiled_library(f"triton_{ENGINE_PROCESS}", [_SOURCES, TRITON])
    return [library, *(decoder_library(level) for level in DECODER_CPUS if _is_wanted(level, repository))]


def _assemble(folder: Path, files: Sequence[Path], own: Path) -> None:
    (folder / ENGINE_PROCESS).mkdir(parents=True)
    for file in files:
        shutil.copy2(file, folder / ENGINE_PROCESS)
    for backend in own.iterdir():
        (folder / backend.name).symlink_to(backend)


def decoder_libraries() -> dict[str, Path]:
    """cpu_decoder/ compiled for each level of CPUs, as an image has them; raises Failure when it can't be."""
    return {level: decoder_library(level) for level in DECODER_CPUS}


def decoder_library(level: str) -> Path:
    return compiled_library(f"{_DECODER}_{level}", [_NATIVE / _DECODER], DECODER_CPUS[level])


def _is_wanted(level: str, repository: Path) -> bool:
    """Whether this CPU runs it, or it is there already, as in an image that runs on others too."""
    if is_compiled(f"{_DECODER}_{level}", [_NATIVE / _DECODER], DECODER_CPUS[level]):
        return True
    question = repository / "tensorrt_llm" / "1" / "decoder" / "cpu_level.py"
    asked = subprocess.run([sys.executable, str(question)], capture_output=True, text=True, check=False)
    return asked.stdout == level
