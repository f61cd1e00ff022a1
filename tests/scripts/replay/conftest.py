"""An engine that writes flat out, shared by the tests that leave it as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripts.replay.asking import Asking, replay_engine


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Asking]:
    with replay_engine(folder) as asking:
        yield asking
