import asyncio
from collections.abc import Sequence

import pytest

from frontend.errors import EngineFailed
from frontend.triton.vocabulary import BLOCK_IDS, TokenSpelling

NUM_IDS = BLOCK_IDS + 100


class CountingTriton:
    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    async def postprocess(self, ids: Sequence[int]) -> list[bytes]:
        self.calls.append(list(ids))
        await asyncio.sleep(0)
        if max(ids) >= NUM_IDS or min(ids) < 0:
            raise EngineFailed("no such id")
        return [b"%d" % token_id for token_id in ids]


def test_a_block_is_asked_for_once_by_all_that_lack_it() -> None:
    triton = CountingTriton()

    async def run() -> list[list[bytes]]:
        spelling = TokenSpelling(triton, NUM_IDS)
        together = await asyncio.gather(spelling.spell([3, 1, 3]), spelling.spell([5]))
        return [*together, await spelling.spell([1000, 0])]

    assert asyncio.run(run()) == [[b"3", b"1", b"3"], [b"5"], [b"1000", b"0"]]
    assert triton.calls == [list(range(BLOCK_IDS))]


def test_the_last_block_ends_with_the_vocabulary() -> None:
    triton = CountingTriton()
    first, last = BLOCK_IDS + 1, NUM_IDS - 1

    async def run() -> list[list[bytes]]:
        spelling = TokenSpelling(triton, NUM_IDS)
        return [await spelling.spell(ids) for ids in ([last, first], [first + 1])]

    assert asyncio.run(run()) == [[b"%d" % last, b"%d" % first], [b"%d" % (first + 1)]]
    assert triton.calls == [list(range(BLOCK_IDS, NUM_IDS))]


@pytest.mark.parametrize("token_id", [NUM_IDS, -1])
def test_an_id_beyond_the_vocabulary_is_postprocess_to_refuse(token_id: int) -> None:
    triton = CountingTriton()

    async def run() -> None:
        spelling = TokenSpelling(triton, NUM_IDS)
        with pytest.raises(EngineFailed):
            await spelling.spell([1, token_id])
        assert await spelling.spell([1]) == [b"1"]

    asyncio.run(run())
    assert triton.calls == [list(range(BLOCK_IDS)), [token_id]]


def test_no_ids_ask_nothing() -> None:
    triton = CountingTriton()

    async def run() -> list[bytes]:
        return await TokenSpelling(triton, NUM_IDS).spell([])

    assert asyncio.run(run()) == []
    assert triton.calls == []


def test_blocks_are_asked_for_side_by_side() -> None:
    class AnswersTwo(CountingTriton):
        """Answers no call before there are two."""

        def __init__(self) -> None:
            super().__init__()
            self.has_two = asyncio.Event()

        async def postprocess(self, ids: Sequence[int]) -> list[bytes]:
            pieces = await super().postprocess(ids)
            if len(self.calls) == 2:
                self.has_two.set()
            await asyncio.wait_for(self.has_two.wait(), 10)
            return pieces

    async def run() -> list[bytes]:
        return await TokenSpelling(AnswersTwo(), NUM_IDS).spell([0, BLOCK_IDS])

    assert asyncio.run(run()) == [b"0", b"%d" % BLOCK_IDS]


def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    triton = CountingTriton()

    async def run() -> bytes:
        spelling = TokenSpelling(triton, NUM_IDS)
        leaving = asyncio.create_task(spelling.spell([1]))
        staying = asyncio.create_task(spelling.spell([2]))
        await asyncio.sleep(0)
        leaving.cancel()
        return (await staying)[0]

    assert asyncio.run(run()) == b"2"
    assert len(triton.calls) == 1


def test_a_failure_is_not_remembered() -> None:
    class FailsOnce(CountingTriton):
        async def postprocess(self, ids: Sequence[int]) -> list[bytes]:
            pieces = await super().postprocess(ids)
            if len(self.calls) == 1:
                raise EngineFailed("not this time")
            return pieces

    async def run() -> list[bytes]:
        spelling = TokenSpelling(FailsOnce(), NUM_IDS)
        with pytest.raises(EngineFailed, match="not this time"):
            await spelling.spell([7])
        return await spelling.spell([7])

    assert asyncio.run(run()) == [b"7"]
