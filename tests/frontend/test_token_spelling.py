import asyncio
from collections.abc import Sequence

import pytest

from frontend import token_spelling
from frontend.token_spelling import TokenSpelling


class CountingTriton:
    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    async def postprocess(self, ids: Sequence[int]) -> list[bytes]:
        self.calls.append(sorted(ids))
        await asyncio.sleep(0)
        return [b"%d" % token_id for token_id in ids]


def test_only_new_ids_are_asked_for_and_each_once() -> None:
    triton = CountingTriton()
    spelling = TokenSpelling(triton)
    assert asyncio.run(spelling.spell([3, 1, 3])) == [b"3", b"1", b"3"]
    assert asyncio.run(spelling.spell([1, 2, 3])) == [b"1", b"2", b"3"]
    assert asyncio.run(spelling.spell([2, 1])) == [b"2", b"1"]
    assert triton.calls == [[1, 3], [2]]


def test_no_ids_ask_nothing() -> None:
    triton = CountingTriton()
    assert asyncio.run(TokenSpelling(triton).spell([])) == []
    assert triton.calls == []


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_spelling, "MAX_REMEMBERED", 2)
    triton = CountingTriton()
    spelling = TokenSpelling(triton)
    for ids in ([1], [2], [3], [2, 3], [1]):
        asyncio.run(spelling.spell(ids))
    assert triton.calls == [[1], [2], [3], [1]]


def test_answers_are_whole_when_others_make_it_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_spelling, "MAX_REMEMBERED", 1)

    async def spell_side_by_side() -> list[list[bytes]]:
        spelling = TokenSpelling(CountingTriton())
        await spelling.spell([1])
        return await asyncio.gather(spelling.spell([1, 2]), spelling.spell([3, 4]))

    assert asyncio.run(spell_side_by_side()) == [[b"1", b"2"], [b"3", b"4"]]
