import pytest
from batching.kv_blocks import BLOCK_TOKENS, BlockTable, KvBlocks, num_blocks_for

TEXT = list(range(4 * BLOCK_TOKENS))


def filled(kv: KvBlocks, ids: list[int]) -> BlockTable:
    """The table of a sequence whose ids are all in the cache."""
    table = kv.open(ids, 0)
    assert kv.grow(table, len(ids))
    kv.remember(table, ids, len(ids))
    return table


@pytest.mark.parametrize(
    ("num_tokens", "num_blocks"), [(0, 0), (1, 1), (BLOCK_TOKENS, 1), (BLOCK_TOKENS + 1, 2)]
)
def test_number_of_blocks(num_tokens: int, num_blocks: int) -> None:
    assert num_blocks_for(num_tokens) == num_blocks


def test_grows_by_whole_blocks_that_nobody_else_holds() -> None:
    kv = KvBlocks(4)
    first, second = BlockTable(), BlockTable()
    for table in (first, second):
        assert kv.grow(table, BLOCK_TOKENS + 1)
        assert kv.grow(table, 2 * BLOCK_TOKENS)
        assert len(table.blocks) == 2
    assert set(first.blocks).isdisjoint(second.blocks)


def test_takes_nothing_when_blocks_are_lacking() -> None:
    kv = KvBlocks(2)
    table = BlockTable()
    assert not kv.grow(table, 3 * BLOCK_TOKENS)
    assert table.blocks == []
    assert kv.num_available == 2


def test_closing_makes_all_blocks_available() -> None:
    kv = KvBlocks(4)
    table = filled(kv, TEXT[: BLOCK_TOKENS + 5])
    kv.close(table)
    assert kv.num_available == 4
    assert kv.grow(BlockTable(), 4 * BLOCK_TOKENS)


@pytest.mark.parametrize("is_closed", [False, True])
def test_full_blocks_are_found_again(is_closed: bool) -> None:
    kv = KvBlocks(8)
    table = filled(kv, TEXT[: 3 * BLOCK_TOKENS - 1])
    blocks = table.blocks[:2]
    if is_closed:
        kv.close(table)
    found = kv.open(TEXT, len(TEXT))
    assert found.blocks == blocks
    assert found.num_known_tokens == 2 * BLOCK_TOKENS


def test_no_more_is_found_than_asked_for() -> None:
    kv = KvBlocks(8)
    filled(kv, TEXT)
    assert kv.open(TEXT, 2 * BLOCK_TOKENS - 1).num_known_tokens == BLOCK_TOKENS


def test_a_block_is_only_found_after_the_same_prefix() -> None:
    kv = KvBlocks(8)
    filled(kv, TEXT)
    other = [-1, *TEXT[1:]]
    assert kv.open(other, len(other)).blocks == []
    assert kv.open(TEXT[BLOCK_TOKENS:], BLOCK_TOKENS).blocks == []


def test_a_text_computed_twice_is_kept_once() -> None:
    kv = KvBlocks(8)
    first, second = filled(kv, TEXT[: 2 * BLOCK_TOKENS]), filled(kv, TEXT[: 2 * BLOCK_TOKENS])
    kv.close(second)
    assert kv.open(TEXT, len(TEXT)).blocks == first.blocks


def test_a_found_block_is_shared_until_the_last_holder_leaves() -> None:
    kv = KvBlocks(2)
    first = filled(kv, TEXT[: 2 * BLOCK_TOKENS])
    second = kv.open(TEXT, 2 * BLOCK_TOKENS)
    kv.close(first)
    assert kv.num_available == 0
    kv.close(second)
    assert kv.num_available == 2


def test_the_end_of_the_oldest_text_is_forgotten_first() -> None:
    kv = KvBlocks(4)
    old, new = TEXT[: 2 * BLOCK_TOKENS], [-1 - it for it in TEXT[: 2 * BLOCK_TOKENS]]
    for ids in (old, new):
        kv.close(filled(kv, ids))
    assert kv.grow(BlockTable(), BLOCK_TOKENS)
    assert kv.open(old, len(old)).num_known_tokens == BLOCK_TOKENS
    assert kv.open(new, len(new)).num_known_tokens == 2 * BLOCK_TOKENS


def test_a_forgotten_block_is_not_found() -> None:
    kv = KvBlocks(2)
    kv.close(filled(kv, TEXT[: 2 * BLOCK_TOKENS]))
    kv.close(filled(kv, [-1] * (2 * BLOCK_TOKENS)))
    assert kv.open(TEXT, len(TEXT)).blocks == []
