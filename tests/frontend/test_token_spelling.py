import asyncio
from collections.abc import Sequence

from frontend.token_spelling import TokenSpelling


class CountingTriton:
    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    async def postprocess(self, ids: Sequence[int]) -> list[bytes]:
        self.calls.append(sorted(ids))
        await asyncio.sleep(0)
        return [b"%d" % token_id for token_id in ids]


def test_each_id_is_asked_for_once_with_those_below_it_in_its_block() -> None:
    triton = CountingTriton()
    spelling = TokenSpelling(triton)
    assert asyncio.run(spelling.spell([3, 1, 3])) == [b"3", b"1", b"3"]
    assert asyncio.run(spelling.spell([1, 2, 5])) == [b"1", b"2", b"5"]
    assert asyncio.run(spelling.spell([4, 2050, 1])) == [b"4", b"2050", b"1"]
    assert triton.calls == [[0, 1, 2, 3], [4, 5], [2048, 2049, 2050]]


def test_no_ids_ask_nothing() -> None:
    triton = CountingTriton()
    assert asyncio.run(TokenSpelling(triton).spell([])) == []
    assert triton.calls == []
