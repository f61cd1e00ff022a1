"""A virtual environment for each peer under .cache, apart from the product's own."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from build.errors import Failure
from build.paths import CACHE

LOCKS = Path(__file__).parent / "locks"
# Not on PyPI, and the build with CUDA that is there wants gigabytes more; so it has no hash here.
TORCH = "torch==2.13.0+cpu"


def environment(
    peer: str, unhashed: Sequence[str] = (), finish: Callable[[Path], None] = lambda _: None
) -> Path:
    """The folder of a virtual environment with what the peer's lock names, and what no lock can name.

    `finish` gets its site-packages.

    Raises Failure with pip's reason.
    """
    lock = LOCKS / f"{peer}.txt"
    folder = CACHE / "peers" / f"{peer}-{_digest(lock, unhashed)}"
    if not (folder / "ready").exists():
        print(f"installing {peer} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        for package in unhashed:
            _pip(folder, [package])
        _pip(folder, ["--require-hashes", "-r", str(lock)])
        finish(next(folder.glob("lib/python3*/site-packages")))
        (folder / "ready").touch()
    return folder


def _digest(lock: Path, unhashed: Sequence[str]) -> str:
    return hashlib.sha256(lock.read_bytes() + " ".join(unhashed).encode()).hexdigest()[:12]


def _pip(folder: Path, what: Sequence[str]) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]
    done = subprocess.run(
        [*pip, "--only-binary", ":all:", *what], capture_output=True, text=True, check=False
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        hint = (
            "; PIP_EXTRA_INDEX_URL must name an index with torch's builds for CPUs" if TORCH in what else ""
        )
        raise Failure(f"{what[-1]} could not be installed: {(errors or ['no reason given'])[-1]}{hint}")
