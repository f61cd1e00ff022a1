"""The bytes of token ids, remembered: nobody but postprocess knows them, and they never change."""

from collections.abc import Sequence
from typing import Protocol


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
            unknown = list(set(ids) - remembered.keys())
            remembered |= zip(unknown, await self._triton.postprocess(unknown), strict=True)
            return [remembered[token_id] for token_id in ids]
