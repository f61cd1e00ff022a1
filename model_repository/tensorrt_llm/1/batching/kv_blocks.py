"""The KV cache in blocks: who holds which, and what the released ones still hold for a later prompt."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

# Of native/cpu_decoder (attention.h).
BLOCK_TOKENS = 32

# The number of the prefix before a block, and the block's own ids, in full: none is taken for another.
_Contents: TypeAlias = tuple[int, tuple[int, ...]]

_EMPTY_PREFIX = 0


def num_blocks_for(num_tokens: int) -> int:
    return -(-num_tokens // BLOCK_TOKENS)


@dataclass(slots=True)
class BlockTable:
    """The blocks of one sequence in order; the first num_known are full, and found by their contents."""

    blocks: list[int] = field(default_factory=list)
    num_known: int = 0
    prefix: int = _EMPTY_PREFIX

    @property
    def num_known_tokens(self) -> int:
        return self.num_known * BLOCK_TOKENS


class KvBlocks:
    def __init__(self, num_blocks: int) -> None:
        self._blank = list(range(num_blocks))
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._num_holders = [0] * num_blocks
        self._known: dict[_Contents, tuple[int, int]] = {}
        self._contents: dict[int, _Contents] = {}
        self._last_prefix = _EMPTY_PREFIX

    @property
    def num_available(self) -> int:
        return len(self._blank) + len(self._idle)

    def open(self, ids: Sequence[int], max_tokens: int) -> BlockTable:
        """A table that starts with the blocks already known to hold the ids, max_tokens of them at most."""
        table = BlockTable()
        while table.num_known_tokens + BLOCK_TOKENS <= max_tokens:
            known = self._known.get(_next_contents(table, ids))
            if known is None:
                break
            block, table.prefix = known
            self._hold(block)
            table.blocks.append(block)
            table.num_known += 1
        return table

    def grow(self, table: BlockTable, num_tokens: int) -> bool:
        """Makes room for so many tokens in all; does nothing, and is False, when blocks are lacking."""
        num_missing = num_blocks_for(num_tokens) - len(table.blocks)
        if num_missing > self.num_available:
            return False
        table.blocks += [self._take() for _ in range(num_missing)]
        return True

    def remember(self, table: BlockTable, ids: Sequence[int], num_computed: int) -> None:
        """Makes the blocks that have filled up findable; num_computed of the ids are in the cache."""
        while table.num_known_tokens + BLOCK_TOKENS <= num_computed:
            contents = _next_contents(table, ids)
            if contents not in self._known:
                self._last_prefix += 1
                block = table.blocks[table.num_known]
                self._known[contents] = (block, self._last_prefix)
                self._contents[block] = contents
            _, table.prefix = self._known[contents]
            table.num_known += 1

    def close(self, table: BlockTable) -> None:
        """Releases the blocks; the last are the first to be used for something else."""
        for block in reversed(table.blocks):
            self._release(block)
        table.blocks.clear()

    def _hold(self, block: int) -> None:
        self._num_holders[block] += 1
        self._idle.pop(block, None)

    def _take(self) -> int:
        block = self._blank.pop() if self._blank else self._forget_oldest()
        self._hold(block)
        return block

    def _forget_oldest(self) -> int:
        block, _ = self._idle.popitem(last=False)
        del self._known[self._contents.pop(block)]
        return block

    def _release(self, block: int) -> None:
        self._num_holders[block] -= 1
        if self._num_holders[block]:
            return
        if block in self._contents:
            self._idle[block] = None
        else:
            self._blank.append(block)


def _next_contents(table: BlockTable, ids: Sequence[int]) -> _Contents:
    start = table.num_known_tokens
    return table.prefix, tuple(ids[start : start + BLOCK_TOKENS])
