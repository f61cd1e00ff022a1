"""Makes .venv with the locked packages, once. Run by the machine's Python: only the standard library here."""

import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from build import debian_packages
from build.errors import Failure, run
from build.paths import CACHE, LOCK, LOGS, VENV
from serving.process import Process

STAMP = VENV / "complete"
PYTHON = VENV / "bin" / "python"
PIP_LOG = LOGS / "pip.log"
# glibc of the oldest system that the tritonserver wheel runs on, Ubuntu 22.04.
OLDEST_GLIBC = (2, 35)
# .venv takes 0.9 GB, the downloads 0.5 GB in pip's cache, engines and caches 0.5 GB.
NEEDED_BYTES = 2_500_000_000
# Settings of pip that would make it install somewhere else.
ELSEWHERE = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
CAUSES = {
    r"No space left on device|Disk quota exceeded": "the disk is full",
    r"DO NOT MATCH THE HASHES": "a downloaded file is not the one that the lock names",
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Network is unreachable|ProxyError"
    r"|SSLError|ProtocolError": "the package index can't be reached",
}


def main() -> int:
    """Sets up unless that is done already."""
    require_platform(platform.system(), platform.machine(), platform.libc_ver())
    if not _is_complete():
        with _exclusively():
            if not _is_complete():
                _set_up()
    return 0


def require_platform(system: str, machine: str, libc: tuple[str, str]) -> None:
    """Fails unless the wheels have binaries for this platform."""
    version = tuple(int(part) for part in re.findall(r"\d+", libc[1])[:2])
    if (system, machine, libc[0]) != ("Linux", "x86_64", "glibc") or version < OLDEST_GLIBC:
        here = " ".join(part for part in (system, machine, *libc) if part)
        wanted = ".".join(map(str, OLDEST_GLIBC))
        raise Failure(f"this needs Linux on x86_64 with glibc {wanted} or newer, and this machine is {here}")


def cause_of(pip_log: str) -> str:
    """What made pip fail, in words."""
    for pattern, words in CAUSES.items():
        if re.search(pattern, pip_log):
            return words
    errors = re.findall(r"ERROR: (.+)", pip_log)
    return str(errors[-1]) if errors else "the reason is in its log"


def stamp() -> str:
    """What .venv was made from; another Python, lock or place makes it anew."""
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    return f"{lock} {platform.python_version()} {_interpreter()} {VENV}\n"


def _is_complete() -> bool:
    return STAMP.exists() and STAMP.read_text() == stamp()


def _interpreter() -> Path:
    """The Python itself, even when this runs in .venv."""
    return Path(os.path.realpath(sys.executable))


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


def _set_up() -> None:
    _require_space(shutil.disk_usage(CACHE).free)
    print(f"setting up .venv with Python {platform.python_version()}", flush=True)
    try:
        _make_venv()
        _install_packages()
        STAMP.write_text(stamp())
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise


def _require_space(free: int) -> None:
    if free < NEEDED_BYTES:
        needed, there = f"{NEEDED_BYTES / 1e9:.1f} GB", f"{free / 1e9:.1f} GB"
        raise Failure(f"the set-up needs {needed} of free disk in {CACHE.parent}, and only {there} are left")


def _make_venv() -> None:
    # Before anything else goes: a stamp beside half a .venv would be a lie.
    STAMP.unlink(missing_ok=True)
    has_pip = importlib.util.find_spec("ensurepip") is not None
    options = [] if has_pip else ["--without-pip"]
    _call("venv", [str(_interpreter()), "-I", "-m", "venv", "--clear", *options, str(VENV)])
    if not has_pip:
        _install_pip()


def _install_pip() -> None:
    """pip out of the distribution's package, which Debian keeps apart from Python."""
    with tempfile.TemporaryDirectory(prefix="pip-") as scratch:
        try:
            debian_packages.unpack(["python3-pip-whl"], Path(scratch))
        except Failure as failure:
            package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
            raise Failure(f"this Python lacks pip; try `sudo apt install {package}` ({failure})") from failure
        wheel = next(Path(scratch).rglob("pip-*.whl"))
        _call("pip", [str(PYTHON), "-I", f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)])


def _install_packages() -> None:
    LOGS.mkdir(exist_ok=True)
    PIP_LOG.unlink(missing_ok=True)
    options = ["--require-hashes", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command = [str(PYTHON), "-I", "-m", "pip", "--log", str(PIP_LOG), "install", *options, "-r", str(LOCK)]
    if _exit_code("pip", command):
        cause = cause_of(PIP_LOG.read_text(errors="replace"))
        raise Failure(f"pip could not install the packages: {cause}; its log is {PIP_LOG}")


def _call(name: str, command: Sequence[str]) -> None:
    code = _exit_code(name, command)
    if code:
        raise Failure(f"{name} failed ({' '.join(command)}: exit code {code})")


def _exit_code(name: str, command: Sequence[str]) -> int:
    environment = {key: value for key, value in os.environ.items() if key not in ELSEWHERE}
    return Process(name, command, environment).wait()


if __name__ == "__main__":
    run(main)
