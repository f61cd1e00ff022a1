import pytest

from scripts.bench.replay_load import _lengths


@pytest.mark.parametrize(
    ("share", "num_answers", "lengths"),
    [
        (0.5, 1, [300]),
        (0, 3, [300, 300, 300]),
        (0.25, 3, [225, 300, 300, 75]),
        (0.999, 3, [300, 300, 300]),
    ],
)
def test_streams_have_as_many_tokens_and_begin_answers_at_different_times(
    share: float, num_answers: int, lengths: list[int]
) -> None:
    assert _lengths(share, 300, num_answers) == lengths
