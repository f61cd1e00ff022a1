from typing import Any

import numpy as np
import pytest
from contract.stop_word_ids import StopWords, read_words
from contract.tensors import InvalidInput

from tests.model_repository.tensorrt_llm.asking import words


def read(array: Any) -> tuple[tuple[int, ...], ...]:
    return read_words({"stop_words_list": array}, "stop_words_list", vocab_size=100)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[5, 6, 7], [2, 3, -1]], ((5, 6), (7,))),
        ([[7], [1]], ((7,),)),
        ([[5, 6, 7, 0, 0], [1, 3, -1, -1, -1]], ((5,), (6, 7))),
        ([[0], [-1]], ()),
        ([[], []], ()),
        ([[5, 6, 120], [2, -1, -1]], ((5, 6),)),
    ],
)
def test_words(rows: Any, expected: tuple[tuple[int, ...], ...]) -> None:
    assert read(np.array([rows], np.int32)) == expected


def test_no_tensor_means_no_words() -> None:
    assert read_words({}, "stop_words_list", 100) == ()


@pytest.mark.parametrize(
    "array",
    [
        np.array([[[5, 6], [2, 1]]]),
        np.array([[[5, 6], [1, 1]]]),
        np.array([[[5, 6], [1, 3]]]),
        np.array([[[5, 6], [0, 2]]]),
        np.array([[[5, 6], [-1, 2]]]),
        np.array([[[5, 6], [-2, -2]]]),
        np.array([[[5, 100], [2, -1]]]),
        np.array([[[-5, 6], [2, -1]]]),
        np.array([[5, 6], [2, -1]]),
        np.array([[[5, 6]]]),
        np.array([[[5], [1]], [[5], [1]]]),
    ],
)
def test_malformed_lists_are_refused_by_name(array: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(array)
    assert caught.value.param == "stop_words_list"


@pytest.mark.parametrize(
    ("stop_words", "ids", "expected"),
    [
        ([[5, 6]], [1, 5, 6], True),
        ([[5, 6]], [5, 6, 1], False),
        ([[5, 6]], [6], False),
        ([[4, 6], [5, 6]], [5, 6], True),
        ([[5, 5, 6]], [5, 6], False),
        ([[5, 5, 6]], [5, 5, 5, 6], True),
        ([], [5], False),
    ],
)
def test_a_word_is_noticed_when_its_last_id_is_written(
    stop_words: list[list[int]], ids: list[int], expected: bool
) -> None:
    assert StopWords(tuple(word) for word in stop_words).end(ids) is expected


def test_encoding_of_the_tests() -> None:
    assert words([5, 6], [7]).tolist() == [[[5, 6, 7], [2, 3, -1]]]
