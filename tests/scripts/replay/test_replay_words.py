import numpy as np
import pytest
from replay_words import ReplayWords

SPACE = "\u0120"
VOCABULARY = {
    f"{SPACE}beta": 7,
    "alpha": 1,
    f"{SPACE}alpha": 3,
    f"{SPACE}Gamma": 4,
    f"{SPACE}gamma": 9,
    '"': 0,
}


@pytest.fixture
def words() -> ReplayWords:
    return ReplayWords(VOCABULARY)


def prompt(*ids: int) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
    return np.array(ids, np.int32)


def test_words_in_the_order_of_their_ids(words: ReplayWords) -> None:
    assert words.take(0, 7).tolist() == [3, 7, 9, 3, 7, 9, 3]
    assert words.take(2, 2).tolist() == [9, 3]


@pytest.mark.parametrize(
    ("text", "is_unbroken"),
    [
        ("", True),
        (" beta", True),
        (" alpha beta gamma alpha", True),
        (" alpha gamma", False),
        (" alpha alpha", False),
        (" beta alpha", False),
        (" alpha be ta", False),
        (" alpha\ufffd", False),
    ],
)
def test_a_break_is_seen(words: ReplayWords, text: str, is_unbroken: bool) -> None:
    assert words.is_unbroken(text) is is_unbroken


def test_prompt_seed_and_adapter_decide_where_it_begins() -> None:
    words = ReplayWords({f"{SPACE}{a}{b}": ord(a) * 100 + ord(b) for a in "abcdefghij" for b in "klmnopqrst"})
    start = words.start(prompt(1, 2), None)
    assert words.start(prompt(1, 2), None) == start
    assert words.start(prompt(1, 2), 0) == words.start(prompt(1, 2), 0)
    others = {
        words.start(prompt(2, 1), None),
        words.start(prompt(1, 2), 0),
        words.start(prompt(1, 2), 1),
        words.start(prompt(1, 2), None, adapter=3),
    }
    assert len(others | {start}) == 5


def test_a_vocabulary_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no token that is a space and a word"):
        ReplayWords({"a": 0, f"{SPACE}B": 1})
