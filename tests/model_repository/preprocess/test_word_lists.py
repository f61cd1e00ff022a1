import pytest
from word_lists import dense_bias, pack_words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [[], []]),
        ([[]], [[], []]),
        ([[5, 6], [7]], [[5, 6, 7], [2, 3, -1]]),
        ([[5], [6]], [[5, 6], [1, 2]]),
        ([[], [5, 6, 7], []], [[5, 6, 7], [3, -1, -1]]),
    ],
)
def test_words_are_packed_with_their_end_offsets(words: list[list[int]], expected: list[list[int]]) -> None:
    packed = pack_words(words)
    assert packed.shape == (2, len(expected[0]))
    assert packed.tolist() == expected


@pytest.mark.parametrize(
    ("words", "weights", "expected"),
    [
        ([], [], []),
        ([[1]], [2.0], [0, 2, 0, 0]),
        ([[1, 3], [3]], [2.0, -0.5], [0, 2, 0, 1.5]),
        ([[]], [2.0], [0, 0, 0, 0]),
    ],
)
def test_weights_are_added_at_the_ids(
    words: list[list[int]], weights: list[float], expected: list[float]
) -> None:
    assert dense_bias(words, weights, 4).tolist() == expected
