from pathlib import Path

import pytest

from build.errors import Failure
from scripts.replay.choice import chosen_repository


def test_without_a_choice_the_engine_serves_itself(tmp_path: Path) -> None:
    assert chosen_repository(tmp_path, tmp_path / "models", {}) == tmp_path / "models"


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="ENGINE must be replay or native-replay"):
        chosen_repository(tmp_path, tmp_path / "models", {"ENGINE": "gpu"})
