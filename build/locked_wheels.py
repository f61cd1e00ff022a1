"""Installs a lock into a folder of its own, beside the virtual environment."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from build.errors import Failure

_OPTIONS = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes")


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
