from scripts.bench.part_plots import cost_plots, engine_plots
from scripts.bench.parts.engine_comparison import Comparison
from scripts.bench.parts.token_cost import NATIVE, PROCESS, Cost

KINDS = {"frontend": 20.0, "tritonserver": 30.0, "preprocess": 1.0, "postprocess": 0.0, "engine": 9.0}


def test_costs_are_drawn_over_concurrency() -> None:
    rows = [
        Cost(NATIVE, 1, True, KINDS, 51.0, 2.0, 270.0, 1.0),
        Cost(NATIVE, 1, False, KINDS, 8.0, 1.0, 270.0, 0.0),
        Cost(NATIVE, 64, True, KINDS, 44.0, 2.0, 15000.0, 0.8),
        Cost(PROCESS, 64, True, KINDS, 190.0, 2.0, 5000.0, 1.0),
    ]
    lines = {line.name: (line.x, line.y) for line in cost_plots(rows)["cost"].lines}
    assert lines == {
        "engine in tritonserver, streamed": ([1, 64], [51.0, 44.0]),
        "engine in tritonserver, whole answers": ([1], [8.0]),
        "engine in a process of its own, streamed": ([64], [190.0]),
        "engine in a process of its own, whole answers": ([], []),
    }


def test_the_stack_is_drawn_beside_its_engine() -> None:
    rows = [Comparison(1, 90.0, 100.0, 0.9), Comparison(8, 300.0, 310.0, 0.97)]
    alone, through = engine_plots(rows)["engine"].lines
    assert (alone.x, alone.y) == ([1, 8], [100.0, 310.0])
    assert (through.x, through.y) == ([1, 8], [90.0, 300.0])
