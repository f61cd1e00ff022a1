from collections.abc import Sequence

import numpy as np
import pytest
from contract.tensors import Logits
from sampling.logit_edits import BadWords, Bias, LogitEdit, MinLength, Penalties

VOCAB_SIZE = 6


def edited(
    edit: LogitEdit, generated: Sequence[int] = (), logits: Sequence[float] = (1.0,) * VOCAB_SIZE
) -> Logits:
    for token_id in generated:
        edit.note(token_id)
    row = np.array(logits, np.float32)
    edit.apply(row)
    return row


def banned(edit: LogitEdit, generated: Sequence[int]) -> list[int]:
    return [int(place) for place in np.flatnonzero(edited(edit, generated) == -np.inf)]


def test_bias_is_added() -> None:
    np.testing.assert_array_equal(edited(Bias({2: 1.5, 4: -100.0})), [1, 1, 2.5, 1, -99, 1])


@pytest.mark.parametrize(
    ("repetition", "presence", "frequency", "expected"),
    [
        (1.0, 0.0, 0.0, [4.0, -4.0, 2.0, -2.0]),
        (2.0, 0.0, 0.0, [2.0, -8.0, 1.0, -2.0]),
        (1.0, 0.5, 0.0, [4.0, -4.5, 1.5, -2.0]),
        (1.0, 0.0, 0.5, [4.0, -4.5, 1.0, -2.0]),
        (2.0, 1.0, 0.5, [2.0, -9.5, -1.0, -2.0]),
        (0.5, -1.0, 0.0, [8.0, -1.0, 5.0, -2.0]),
    ],
)
def test_penalties(repetition: float, presence: float, frequency: float, expected: list[float]) -> None:
    edit = Penalties([0, 1], 4, repetition, presence, frequency)
    row = edited(edit, generated=[1, 2, 2], logits=[4.0, -4.0, 2.0, -2.0])
    np.testing.assert_allclose(row, expected)


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        ([], [0]),
        ([1], [0, 2]),
        ([1, 2], [0, 3, 4]),
        ([5, 1, 2], [0, 3, 4]),
        ([2, 1], [0, 2]),
        ([1, 2, 5], [0]),
    ],
)
def test_bad_words(generated: list[int], expected: list[int]) -> None:
    assert banned(BadWords([(0,), (1, 2), (1, 2, 3), (2, 4)]), generated) == expected


def test_single_bad_words_alone() -> None:
    assert banned(BadWords([(3,)]), [1, 2, 3]) == [3]


@pytest.mark.parametrize(("num_generated", "expected"), [(0, [2, 5]), (1, [2, 5]), (2, []), (3, [])])
def test_ends_are_kept_for_later(num_generated: int, expected: list[int]) -> None:
    assert banned(MinLength([2, 5], 2), [1] * num_generated) == expected
