"""The validators of deploy/, fetched once, beside the virtual environment's packages."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.deploy_validators import fetch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def validators() -> Iterator[Path]:
    """Their folder; its packages can be imported."""
    folder = fetch()
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))
