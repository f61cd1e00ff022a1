"""Installs locks into folders of their own, beside the virtual environment."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from build.errors import Failure
from build.paths import CACHE

_OPTIONS = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes")


def fetched(
    name: str, lock: Path, options: Sequence[str] = (), finish: Callable[[Path], None] = lambda _: None
) -> Path:
    """The folder of a lock and this Python; filled first, and finished, if it is not there."""
    kind = hashlib.sha256(lock.read_bytes() + bytes(sys.version_info[:2])).hexdigest()
    folder = CACHE / f"{name}-{kind[:12]}"
    if not folder.exists():
        print(f"fetching {name}", flush=True)
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=CACHE) as scratch:
            whole = Path(scratch) / "whole"
            install(lock, whole, options)
            finish(whole)
            put_in_place(whole, folder)
    return folder


def put_in_place(whole: Path, folder: Path) -> None:
    """Renames it, unless another process was faster: a folder that is not empty is not replaced."""
    try:
        os.rename(whole, folder)
    except OSError:
        if not folder.exists():
            raise


def install(lock: Path, into: Path, options: Sequence[str] = ()) -> None:
    """pip checks every hash; wheels alone, so that nothing is compiled or run. Raises Failure."""
    wheels = ["--only-binary", ":all:"]
    pip = [sys.executable, "-I", "-m", "pip", "install", *_OPTIONS, *wheels, *options]
    done = subprocess.run(
        [*pip, "--target", str(into), "-r", str(lock)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"the packages of {lock.name} could not be downloaded: {reason}")
