import asyncio
import time

import pytest

from build.errors import Failure
from scripts.bench.parts import cancellation
from scripts.bench.parts.cancellation import ends_of, outlived


def test_the_first_end_is_the_first_leaver_s() -> None:
    assert outlived([2.0, 1.0, 3.0], [1.1, 2.4, 3.2]) == pytest.approx([0.1, 0.4, 0.2])


def test_several_ends_between_two_looks() -> None:
    counts = iter([3, 3, 1, 1, 0])
    before = time.monotonic()
    ends = asyncio.run(ends_of(lambda: next(counts), 3))
    assert before < ends[0] == ends[1] < ends[2]


def test_a_sequence_that_stays_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "PATIENCE_S", 0.01)
    with pytest.raises(Failure, match="1 sequences stay in the engine"):
        asyncio.run(ends_of(lambda: 1, 3))
