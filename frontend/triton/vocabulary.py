"""The bytes of token ids, remembered: nobody but postprocess knows them, and they never change."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

# Asked for together: one call for each id of a vocabulary would cost more than the tokens themselves.
BLOCK_IDS = 1024


class Postprocess(Protocol):
    async def postprocess(self, ids: Sequence[int]) -> list[bytes]:
        """Raises EngineFailed for an id that is none."""


class TokenSpelling:
    """Asks Triton only for ids that it has not seen: at most the vocabulary, 20 MB of Llama 3's."""

    def __init__(self, triton: Postprocess, vocab_size: int) -> None:
        self._triton = triton
        self._vocab_size = vocab_size
        self._remembered: dict[int, bytes] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}
        """By a block's first id: streams that begin together ask once for what they all lack."""

    async def spell(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token id."""
        remembered = self._remembered
        try:
            return [remembered[token_id] for token_id in ids]
        except KeyError:
            await self._learn(set(ids) - remembered.keys())
            return [remembered[token_id] for token_id in ids]

    async def _learn(self, unknown: set[int]) -> None:
        """Whole blocks, of which the last one ends with the vocabulary; what lies beyond it is an error."""
        beyond = {token_id for token_id in unknown if not 0 <= token_id < self._vocab_size}
        blocks = {token_id - token_id % BLOCK_IDS for token_id in unknown - beyond}
        # Side by side: one after the other, 64 streams that began on a full machine waited 4 s for 48 blocks.
        await asyncio.gather(*map(self._learn_block, blocks))
        if beyond:
            await self._ask(sorted(beyond))

    async def _learn_block(self, first: int) -> None:
        if first not in self._asking:
            block = range(first, min(first + BLOCK_IDS, self._vocab_size))
            task = self._asking[first] = asyncio.create_task(self._ask(block))
            task.add_done_callback(lambda done: self._end(first, done))
        # Others wait for it too.
        await asyncio.shield(self._asking[first])

    def _end(self, first: int, done: asyncio.Task[None]) -> None:
        del self._asking[first]
        if not done.cancelled():
            # Read, for all that waited may have left.
            done.exception()

    async def _ask(self, ids: Sequence[int]) -> None:
        self._remembered |= zip(ids, await self._triton.postprocess(ids), strict=True)
