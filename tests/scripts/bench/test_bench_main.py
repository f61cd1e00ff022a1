import pytest

from build.failure import Failure
from scripts.bench.__main__ import PARTS, chosen_parts
from scripts.bench.parts.decoders import StepTime


def test_all_parts_unless_some_are_chosen() -> None:
    assert chosen_parts({}) == [name for name in PARTS if name != "peers"]
    assert chosen_parts({"PARTS": "cost, delay"}) == ["cost", "delay"]


def test_other_servers_are_measured_on_request_alone() -> None:
    assert chosen_parts({"PEERS": "1"}) == ["peers"]
    assert chosen_parts({"PEERS": "vllm", "PARTS": "engine,peers"}) == ["engine", "peers"]


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(Failure, match="'gpu'"):
        chosen_parts({"PARTS": "cost,gpu"})


def test_a_step_is_told_at_each_level() -> None:
    line = PARTS["steps"][2]
    words = line(StepTime(8, 200, 1, {"avx512": 10.0, "avx2": 25.0})).split()
    assert words == ["8", "200", "1", "avx512", "10.0", "avx2", "25.0"]
