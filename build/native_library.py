"""Libraries in C, compiled once by a compiler that is fetched by its lock."""

import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from build.failure import Failure
from build.locked_wheels import install
from build.paths import CACHE

_LOCK = Path(__file__).with_name("ziglang.txt")
# By default zig compiles for the machine it runs on, but an image that was built here runs anywhere.
ANY_CPU = "x86_64"
# Without contraction: a product and a sum are rounded as they are written, by every compiler.
_FLAGS = (
    *("-std=gnu11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"),
    *("-fPIC", "-shared", "-fvisibility=hidden"),
)


def compiled_library(name: str, sources: Sequence[Path], headers: Sequence[Path], cpu: str = ANY_CPU) -> Path:
    """libNAME.so of these files, for a CPU as zig names it; raises Failure when they can't be compiled."""
    # This file has the compiler's options.
    folder = CACHE / f"{name}-{digest(*sources, *headers, cpu, _LOCK, Path(__file__))}"
    library = folder / f"lib{name}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (CACHE / "native-library.lock").open("w") as turn:
            # One at a time: who comes second finds it there.
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not library.exists():
                _compile_beside(sources, headers, cpu, library)
    return library


def digest(*parts: Path | str) -> str:
    """A part of a folder's name that changes with files and texts."""
    contents = (part.read_bytes() if isinstance(part, Path) else part.encode() for part in parts)
    return hashlib.sha256(b"".join(contents)).hexdigest()[:12]


def _compile_beside(sources: Sequence[Path], headers: Sequence[Path], cpu: str, library: Path) -> None:
    """So that a library is whole as soon as it is there."""
    print(f"compiling {library.name}", flush=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        _compile(sources, headers, cpu, Path(scratch) / library.name)
        (Path(scratch) / library.name).rename(library)


def _compile(sources: Sequence[Path], headers: Sequence[Path], cpu: str, library: Path) -> None:
    folders = sorted({f"-I{header.parent}" for header in headers})
    cache = str(CACHE / "zig")
    files = ["-o", str(library), *map(str, sources), "-lpthread", "-lm"]
    done = subprocess.run(
        [str(_compiler()), "cc", f"-mcpu={cpu}", *_FLAGS, *folders, *files],
        capture_output=True,
        text=True,
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
        check=False,
    )
    if done.returncode:
        raise Failure(f"{library.name} does not compile:\n{done.stderr}")


def _compiler() -> Path:
    """zig, which is a C compiler with its own libraries and the same everywhere."""
    folder = CACHE / f"ziglang-{digest(_LOCK)}"
    if not folder.exists():
        print("fetching a C compiler (ziglang, 100 MB)", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=CACHE) as scratch:
            install(_LOCK, Path(scratch) / "whole")
            (Path(scratch) / "whole").rename(folder)
    return folder / "ziglang" / "zig"
