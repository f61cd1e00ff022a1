import pytest

from build.errors import Failure
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


def test_a_step_of_openvino_alone_has_no_ratio() -> None:
    line = PARTS["steps"][2]
    assert line(StepTime(8, 200, 1, 10.0, 25.0)).split() == ["8", "200", "1", "10.0", "25.0", "2.50"]
    assert line(StepTime(8, 200, 1, None, 25.0)).split() == ["8", "200", "1", "-", "25.0", "-"]
