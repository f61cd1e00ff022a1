"""Decodes the ids of one response by themselves; it runs once per streamed chunk."""

from collections.abc import Container
from typing import Any

import numpy as np
from numpy.typing import NDArray
from token_bytes import TokenBytes
from token_ranking import rank_tokens


class ChunkDecoder:
    """Stateless: the bytes of a sequence are those of its chunks, however it is cut."""

    def __init__(self, tokens: TokenBytes) -> None:
        self._pieces = tokens.pieces
        self._texts = [b"" if i in tokens.special_ids else piece for i, piece in enumerate(tokens.pieces)]

    def decode(
        self,
        output_ids: NDArray[np.int32],
        lengths: NDArray[np.int32],
        wanted: Container[str],
        logits: NDArray[np.float32] | None = None,
    ) -> dict[str, NDArray[Any]]:
        """[1, sequences, n] ids of which the first `lengths` [1, sequences] count; raises ValueError.

        The logits are the first sequence's; a vocabulary padded for tensor parallelism loses its padding.
        """
        rows = [row[:length] for row, length in zip(output_ids[0].tolist(), lengths[0].tolist(), strict=True)]
        for row in rows:
            self._check(row)
        outputs = {}
        if "text_output" in wanted:
            outputs["text_output"] = _byte_strings([self._text(row) for row in rows])
        if "output_bytes" in wanted:
            outputs["output_bytes"] = _byte_strings([self._pieces[index] for index in rows[0]])
        if logits is not None and rows[0]:
            outputs |= rank_tokens(logits[..., : len(self._pieces)], rows[0])
        return outputs

    def _check(self, row: list[int]) -> None:
        if row and not 0 <= min(row) <= max(row) < len(self._pieces):
            raise ValueError(f"output_ids must have ids from 0 to {len(self._pieces) - 1}.")

    def _text(self, row: list[int]) -> bytes:
        texts = self._texts
        return b"".join([texts[index] for index in row]).decode(errors="replace").encode()


def _byte_strings(values: list[bytes]) -> NDArray[Any]:
    strings: NDArray[Any] = np.array([values], dtype=object)
    return strings
