from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from frontend.api.frames import TextFrames, data_frame


def chunk_of(text: str) -> dict[str, Any]:
    return {
        "model": '"text":"',
        "choices": [{"index": 0, "text": text, "finish_reason": None}],
        "usage": None,
    }


FRAMES = TextFrames(chunk_of)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_rendered_once_is_what_would_be_rendered_each_time(text: str) -> None:
    assert FRAMES.frame(text) == data_frame(chunk_of(text))
