"""Installs locks: uv does, the machine's own or one that pip fetches and checks by its hash.

Also run by the machine's Python, to set up: only the standard library here.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from build import debian_packages
from build.errors import Failure
from build.paths import CACHE

UV_LOCK = Path(__file__).with_name("uv.txt")
# uv's name for a setting of pip's, of which it reads none. A company's mirror is often known to pip alone.
NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
# The locks name every version and its hash, so it does not matter which index has them.
STRATEGY = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
# Settings of pip that would make it install somewhere else.
ELSEWHERE = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
PIP_OPTIONS = (
    *("--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"),
    *("--only-binary", ":all:"),
)
# Wheels alone, so that nothing is compiled or run.
_OPTIONS = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")


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
    """uv checks every hash. Raises Failure."""
    where = ["--python", sys.executable, "--target", str(into)]
    done = run_uv(["pip", "install", *_OPTIONS, *where, *options, "-r", str(lock)])
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"the packages of {lock.name} could not be downloaded: {reason}")


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def uv() -> str:
    """The program; fetched first, if there is none. Raises Failure."""
    own = shutil.which("uv")
    # A version manager's shim may exist and yet run nothing.
    if own and _runs([own, "--version"]):
        return own
    fetched = CACHE / f"uv-{hashlib.sha256(UV_LOCK.read_bytes()).hexdigest()[:12]}"
    if not fetched.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="uv.", dir=CACHE) as scratch:
            fetch_uv(Path(scratch))
            (Path(scratch) / "whole").rename(fetched)
    return str(fetched / "bin" / "uv")


def run_uv(arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Away from pyproject.toml, whose settings for uv are those of make lock."""
    command = [uv(), *arguments]
    return subprocess.run(command, cwd="/", env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    """Of uv: with the index that pip is told to use, where uv is told of none."""
    told = pip_settings(_output([base_python(), "-I", "-m", "pip", "config", "list"]))
    variables = STRATEGY | {NAMES[name]: value for name, value in told.items() if name in NAMES}
    return variables | os.environ | _cache(os.environ)


def pip_settings(listing: str) -> dict[str, str]:
    """Of `pip config list`: the environment's come first there and count most, those for `install` next."""
    found = re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listing, re.MULTILINE)
    settings: dict[str, str] = {}
    for name, value in found:
        settings.setdefault(name, " ".join(value.replace("\\n", " ").split()))
    return settings


def base_python() -> str:
    """The Python itself, even when this runs in .venv."""
    return os.path.realpath(sys.executable)


def _cache(variables: Mapping[str, str]) -> dict[str, str]:
    """For users without a home that they can write to, as in images."""
    has_home = os.access(variables.get("HOME") or "/nowhere", os.W_OK)
    return {} if has_home or "UV_CACHE_DIR" in variables else {"UV_NO_CACHE": "1"}


def fetch_uv(scratch: Path, runs: Callable[[list[str]], bool] = _runs) -> None:
    """Into the folder `whole` there; raises Failure."""
    install = ["install", *PIP_OPTIONS, "--target", str(scratch / "whole"), "-r", str(UV_LOCK)]
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    command = [*_pip(scratch, runs), *install]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"uv, which sets this up, could not be downloaded: {reason}; install it and try again")


def _pip(scratch: Path, runs: Callable[[list[str]], bool]) -> list[str]:
    """This Python's, or the one that a virtual environment gets, or that of the distribution's package."""
    python = [base_python(), "-I", "-m"]
    if runs([*python, "pip", "--version"]):
        return [*python, "pip"]
    if runs([*python, "venv", str(scratch / "venv")]):
        return [str(scratch / "venv" / "bin" / "python"), "-I", "-m", "pip"]
    try:
        debian_packages.unpack(["python3-pip-whl"], scratch / "debian")
    except Failure as failure:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise Failure(f"this Python lacks pip; try `sudo apt install {package}` ({failure})") from failure
    wheel = next((scratch / "debian").rglob("pip-*.whl"))
    return [base_python(), "-I", f"{wheel}/pip"]


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
