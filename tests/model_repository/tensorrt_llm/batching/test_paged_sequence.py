import pytest
from batching.paged_sequence import PromptLookup


@pytest.mark.parametrize(
    ("ids", "draft"),
    [
        ([1, 2, 3, 4, 5, 1, 2, 3], [4, 5, 1, 2]),
        pytest.param([1, 2, 3, 4, 9, 2, 3], [4, 9, 2, 3], id="two-ids-are-enough"),
        pytest.param([1, 2, 3, 4, 9, 3], [], id="one-is-not"),
        pytest.param([1, 2, 3, 7, 9, 2, 3, 8, 1, 2, 3], [7, 9, 2, 3], id="three-before-two"),
        pytest.param([1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3], [8, 1, 2, 3], id="the-latest"),
        pytest.param([5, 5, 5], [5], id="what-repeats-itself"),
        pytest.param([1, 2, 3], [], id="nothing-yet"),
        pytest.param([1], [], id="too-short"),
    ],
)
def test_drafts_what_followed_the_same_ids(ids: list[int], draft: list[int]) -> None:
    assert list(PromptLookup().draft(ids, 4)) == draft


def test_learns_as_the_text_grows() -> None:
    lookup, ids = PromptLookup(), [1, 2, 3, 4]
    assert not lookup.draft(ids, 2)
    ids += [2, 3]
    assert list(lookup.draft(ids, 2)) == [4, 2]
