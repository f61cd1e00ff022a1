"""perf_analyzer out of its wheel, with a newer C library beside it where the machine's is too old for it."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from build import debian_packages
from build.errors import run
from build.locked_wheels import install
from build.paths import CACHE, PERF_ANALYZER_LOCK

FOLDER = CACHE / f"perf_analyzer-{hashlib.sha256(PERF_ANALYZER_LOCK.read_bytes()).hexdigest()[:12]}"
# What the binary is linked to; it needs glibc 2.38 and GLIBCXX_3.4.32.
PACKAGES = ("libc6", "libstdc++6", "libgcc-s1", "libssl3t64", "zlib1g")
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def main() -> int:
    """Fetches it."""
    command()
    return 0


def command() -> list[str]:
    """The command line that starts perf_analyzer, which is fetched first if it is not there."""
    if not FOLDER.exists():
        _fetch()
    binary = str(FOLDER / "perf_analyzer" / "bin" / "perf_analyzer")
    libraries = FOLDER / LIBRARIES
    if not libraries.exists():
        return [binary]
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), binary]


def _fetch() -> None:
    print("fetching perf_analyzer", flush=True)
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{FOLDER.name}.", dir=CACHE) as scratch:
        whole = Path(scratch) / "whole"
        _unpack_wheel(whole)
        if not _runs(whole / "perf_analyzer" / "bin" / "perf_analyzer"):
            debian_packages.unpack(PACKAGES, whole, debian_packages.newer_release())
        whole.rename(FOLDER)


def _unpack_wheel(into: Path) -> None:
    """The platform is named because pip would refuse the wheel on an older glibc."""
    install(PERF_ANALYZER_LOCK, into, ["--platform", "manylinux_2_38_x86_64"])


def _runs(binary: Path) -> bool:
    environment = {**os.environ, "LC_ALL": "C"}
    return (
        subprocess.run(
            [str(binary), "--version"], capture_output=True, env=environment, check=False
        ).returncode
        == 0
    )


if __name__ == "__main__":
    run(main)
