import pytest

from build.errors import Failure
from scripts.replay.options import ReplayOptions, read_options


def test_defaults_are_flat_out() -> None:
    assert read_options({}) == ReplayOptions()


def test_given() -> None:
    given = {
        "TOKENS_PER_SECOND": "12.5",
        "JITTER": "0.5",
        "TOKENS_PER_RESPONSE": "4",
        "ANSWER_LENGTH": "100",
    }
    expected = ReplayOptions(
        tokens_per_second="12.5", jitter="0.5", tokens_per_response="4", answer_length="100"
    )
    assert read_options(given) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENS_PER_SECOND", "fast"),
        ("TOKENS_PER_SECOND", "-1"),
        ("TOKENS_PER_SECOND", "nan"),
        ("TOKENS_PER_SECOND", "inf"),
        ("JITTER", "1.1"),
        ("TOKENS_PER_RESPONSE", "0"),
        ("TOKENS_PER_RESPONSE", "1.5"),
        ("ANSWER_LENGTH", "-3"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    with pytest.raises(Failure, match=name):
        read_options({name: value})
