import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.generation.stop_strings import StopStrings

TEXTS = st.text("abc", max_size=30)
STRINGS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=4)


def feed_all(stops: StopStrings, pieces: list[str]) -> str:
    return "".join(stops.feed(piece) for piece in pieces) + stops.flush()


def cut(text: str, cuts: list[int]) -> list[str]:
    edges = [0, *sorted(at % (len(text) + 1) for at in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(text=TEXTS, strings=STRINGS, cuts=st.lists(st.integers(0, 100), max_size=8), keeps=st.booleans())
def test_every_cut_gives_the_text_before_the_first_match(
    text: str, strings: list[str], cuts: list[int], keeps: bool
) -> None:
    stops = StopStrings(strings, keeps)
    shown = feed_all(stops, cut(text, cuts))
    ends = [text.find(string) + len(string) for string in strings if string in text]
    if not ends:
        assert (shown, stops.matched) == (text, None)
        return
    # The string whose last character comes first: what a reader of single characters would see.
    assert stops.matched == max((s for s in strings if text[: min(ends)].endswith(s)), key=len)
    assert shown == (text[: min(ends)] if keeps else text[: min(ends) - len(stops.matched)])


def test_only_what_may_grow_into_a_match_is_held_back() -> None:
    stops = StopStrings(["</end>"])
    assert stops.feed("text <") == "text "
    assert stops.feed("b> </en") == "<b> "
    assert stops.feed("d>never") == ""
    assert (stops.matched, stops.flush()) == ("</end>", "")


@pytest.mark.parametrize("keeps", [False, True])
def test_nothing_follows_a_match(keeps: bool) -> None:
    stops = StopStrings(["x"], keeps)
    assert stops.feed("axb") == ("ax" if keeps else "a")
    assert stops.feed("more") == ""
