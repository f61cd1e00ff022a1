"""The native replay engine's library, compiled once by a C compiler that is fetched by its lock."""

import fcntl
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from scripts.failure import Failure
from scripts.locked_wheels import install
from scripts.paths import CACHE

LIBRARY = "libtriton_replay.so"
SOURCES = Path(__file__).parent / "native"
_LOCK = Path(__file__).with_name("ziglang.txt")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-fvisibility=hidden")


def compiled_library() -> Path:
    """The library of these sources; raises Failure when they can't be compiled."""
    # This file has the compiler's options.
    key = _digest(*sorted(SOURCES.glob("*.[ch]")), _LOCK, Path(__file__))
    library = CACHE / f"native-replay-{key}" / LIBRARY
    library.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE / "native-replay.lock").open("w") as turn:
        # One at a time: who comes second finds it there.
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not library.exists():
            print("compiling the native replay engine", flush=True)
            with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
                _compile(Path(scratch) / LIBRARY)
                (Path(scratch) / LIBRARY).rename(library)
    return library


def _compile(library: Path) -> None:
    sources = sorted(map(str, SOURCES.glob("*.c")))
    cache = str(CACHE / "zig")
    done = subprocess.run(
        [str(_compiler()), "cc", *_FLAGS, "-o", str(library), *sources, "-lpthread"],
        capture_output=True,
        text=True,
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
        check=False,
    )
    if done.returncode:
        raise Failure(f"the native replay engine does not compile:\n{done.stderr}")


def _compiler() -> Path:
    """zig, which is a C compiler with its own libraries and the same everywhere."""
    folder = CACHE / f"ziglang-{_digest(_LOCK)}"
    if not folder.exists():
        print("fetching a C compiler (ziglang, 100 MB)", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=CACHE) as scratch:
            install(_LOCK, Path(scratch) / "whole")
            (Path(scratch) / "whole").rename(folder)
    return folder / "ziglang" / "zig"


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
