"""The bytes of token ids, remembered: nobody but postprocess knows them, and they never change."""

from collections.abc import Sequence
from typing import Protocol

# Asked for together: one call for each id of a vocabulary would cost more than the tokens themselves.
BLOCK_IDS = 1024


class Postprocess(Protocol):
    async def postprocess(self, ids: Sequence[int]) -> list[bytes]: ...


class TokenSpelling:
    """Asks Triton only for ids that it has not seen: at most the vocabulary, 20 MB of Llama 3's."""

    def __init__(self, triton: Postprocess) -> None:
        self._triton = triton
        self._remembered: dict[int, bytes] = {}

    async def spell(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token id, with at most one call."""
        remembered = self._remembered
        try:
            return [remembered[token_id] for token_id in ids]
        except KeyError:
            unknown = self._unknown(ids)
            remembered |= zip(unknown, await self._triton.postprocess(unknown), strict=True)
            return [remembered[token_id] for token_id in ids]

    def _unknown(self, ids: Sequence[int]) -> list[int]:
        """Those of the ids, and those below each of them in its block, which exist where it does."""
        wanted: set[int] = set()
        for token_id in set(ids) - self._remembered.keys():
            wanted.update(range(token_id - token_id % BLOCK_IDS, token_id + 1))
        return sorted(wanted - self._remembered.keys())
