"""The bytes of token ids, remembered: much the same tokens come up as alternatives again and again."""

from collections.abc import Sequence
from typing import Protocol

# Half of Llama 3's vocabulary, in about 8 MB.
MAX_REMEMBERED = 65_536


class Postprocess(Protocol):
    async def postprocess(self, ids: Sequence[int]) -> list[bytes]: ...


class TokenSpelling:
    """Asks Triton only for ids that it has not seen lately."""

    def __init__(self, triton: Postprocess) -> None:
        self._triton = triton
        self._remembered: dict[int, bytes] = {}

    async def spell(self, ids: Sequence[int]) -> list[bytes]:
        """The bytes of each token id, with at most one call."""
        wanted = set(ids)
        # Kept by this call: what is remembered may be forgotten while Triton answers.
        spelled = {token_id: self._remembered[token_id] for token_id in wanted & self._remembered.keys()}
        unknown = list(wanted - spelled.keys())
        if unknown:
            fresh = dict(zip(unknown, await self._triton.postprocess(unknown), strict=True))
            self._remember(fresh)
            spelled |= fresh
        return [spelled[token_id] for token_id in ids]

    def _remember(self, fresh: dict[int, bytes]) -> None:
        self._remembered |= fresh
        while len(self._remembered) > MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
