import pytest

from scripts.bench.__main__ import PARTS, chosen_parts
from scripts.failure import Failure


def test_all_parts_unless_some_are_chosen() -> None:
    assert chosen_parts({}) == list(PARTS)
    assert chosen_parts({"PARTS": "cost, delay"}) == ["cost", "delay"]


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(Failure, match="'gpu'"):
        chosen_parts({"PARTS": "cost,gpu"})
