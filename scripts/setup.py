"""Makes .venv, once: with what serving needs, or with --all also what tests and tools need.

Run by the machine's Python: only the standard library here.
"""

import fcntl
import hashlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from build.errors import Failure, run
from build.locked_wheels import base_python, environment, uv
from build.paths import CACHE, LOCK, LOGS, SERVING_LOCK, VENV
from scripts.download import Download

STAMP = VENV / "complete"
LOG = LOGS / "setup.log"
# glibc of the oldest system that the tritonserver wheel runs on, Ubuntu 22.04.
OLDEST_GLIBC = (2, 35)
# .venv takes 0.9 GB, which uv's cache has as well, engines and caches 0.5 GB.
NEEDED_BYTES = 2_500_000_000
CAUSES = {
    r"No space left on device|Disk quota exceeded": "the disk is full; free some space",
    r"Hash mismatch": (
        "a downloaded file is not the one that the lock names; a mirror or a proxy may have changed it"
    ),
    r"error sending request|client error|timed out|operation timed out|Failed to fetch": (
        "the package index can't be reached; a mirror goes into UV_DEFAULT_INDEX, a proxy into HTTPS_PROXY"
    ),
}


def main() -> int:
    """Sets up unless that is done already."""
    require_platform(platform.system(), platform.machine(), platform.libc_ver())
    lock = LOCK if "--all" in sys.argv[1:] else SERVING_LOCK
    if not _is_complete(lock):
        with _exclusively():
            if not _is_complete(lock):
                _set_up(lock)
    return 0


def require_platform(system: str, machine: str, libc: tuple[str, str]) -> None:
    """Fails unless the wheels have binaries for this platform."""
    version = tuple(int(part) for part in re.findall(r"\d+", libc[1])[:2])
    if (system, machine, libc[0]) != ("Linux", "x86_64", "glibc") or version < OLDEST_GLIBC:
        here = " ".join(part for part in (system, machine, *libc) if part)
        wanted = ".".join(map(str, OLDEST_GLIBC))
        raise Failure(f"this needs Linux on x86_64 with glibc {wanted} or newer, and this machine is {here}")


def cause_of(log: str) -> str:
    """What made uv fail, in words."""
    for pattern, words in CAUSES.items():
        if re.search(pattern, log):
            return words
    errors = re.findall(r"error: (.+)", log)
    return str(errors[-1]) if errors else "the reason is in its log"


def stamp(lock: Path) -> str:
    """What .venv was made from; another Python, lock or place makes it anew."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    return f"{digest} {platform.python_version()} {base_python()} {VENV}\n"


def _is_complete(lock: Path) -> bool:
    """With everything in it there is also what serving needs."""
    return STAMP.exists() and STAMP.read_text() in (stamp(lock), stamp(LOCK))


@contextmanager
def _exclusively() -> Iterator[None]:
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another make is setting up; waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _set_up(lock: Path) -> None:
    _require_space(shutil.disk_usage(CACHE).free)
    print(f"setting up .venv with Python {platform.python_version()}", flush=True)
    tool, variables = uv(), environment()
    # Tests and tools are put beside what serves already, which may be running.
    has_serving = STAMP.exists() and STAMP.read_text() == stamp(SERVING_LOCK)
    if not has_serving:
        # Before anything else goes: a stamp beside half a .venv would be a lie.
        STAMP.unlink(missing_ok=True)
    try:
        if not has_serving:
            shutil.rmtree(VENV, ignore_errors=True)
            _install([tool, "venv", "--python", base_python(), str(VENV)], variables)
        options = ["--no-deps", "--require-hashes", "--python", str(VENV / "bin" / "python")]
        _install([tool, "pip", "install", *options, "-r", str(lock)], variables)
        STAMP.write_text(stamp(lock))
    except BaseException:
        if not has_serving:
            shutil.rmtree(VENV, ignore_errors=True)
        raise


def _require_space(free: int) -> None:
    if free < NEEDED_BYTES:
        needed, there = f"{NEEDED_BYTES / 1e9:.1f} GB", f"{free / 1e9:.1f} GB"
        raise Failure(
            f"the set-up needs {needed} of free disk in {CACHE.parent}, and only {there} are left; free some"
        )


def _install(command: Sequence[str], variables: Mapping[str, str]) -> None:
    """Runs uv, away from pyproject.toml, whose settings for it are those of make lock; raises Failure."""
    LOGS.mkdir(exist_ok=True)
    download = Download(sys.stdout)
    with (
        LOG.open("w") as log,
        subprocess.Popen(command, cwd="/", env=variables, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        for line in process.stderr:
            log.write(line)
            download.read(line)
    download.end()
    if process.returncode:
        cause = cause_of(LOG.read_text(errors="replace"))
        raise Failure(f"uv could not install the packages: {cause} (its log is {LOG}); then run make again")


if __name__ == "__main__":
    run(main)
