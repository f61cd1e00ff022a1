from typing import Any

import pytest
from contract.sampling import Sampling, read_sampling

from tests.model_repository.tensorrt_llm.asking import tensors


def sampling(**values: Any) -> Sampling:
    return read_sampling(tensors(**values))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"temperature": 1.7},
        {"seed": 5},
        {"min_p": 0.1},
        {"runtime_top_k": 1},
        {"runtime_top_k": 1, "runtime_top_p": 0.9},
        {"runtime_top_k": 0},
        {"runtime_top_p": 0.0},
        {"runtime_top_p": -1.0},
        {"temperature": 0.0, "runtime_top_p": 0.9},
        {"temperature": 1e-6, "runtime_top_k": 50},
    ],
)
def test_greedy(values: dict[str, Any]) -> None:
    assert sampling(**values).is_greedy


@pytest.mark.parametrize(
    ("values", "top_k", "top_p"),
    [
        ({"runtime_top_k": 40}, 40, 1.0),
        ({"runtime_top_p": 0.5}, 0, 0.5),
        ({"runtime_top_p": 1.0}, 0, 1.0),
        ({"runtime_top_k": 2, "runtime_top_p": 0.5}, 2, 0.5),
        ({"runtime_top_k": 2, "runtime_top_p": -0.5}, 2, 1.0),
    ],
)
def test_drawn(values: dict[str, Any], top_k: int, top_p: float) -> None:
    drawn = sampling(**values)
    assert not drawn.is_greedy
    assert (drawn.top_k, drawn.top_p) == (top_k, top_p)


def test_neutral_when_unset() -> None:
    assert sampling() == Sampling()


def test_a_seed_may_take_64_bits() -> None:
    assert sampling(seed=2**64 - 1).seed == 2**64 - 1
