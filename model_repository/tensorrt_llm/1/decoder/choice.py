"""What computes the logits of a step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from batching.step_scheduler import Chunk
from sampling.token_scores import Logits

from decoder.library import load_library
from decoder.native_decoder import NativeDecoder
from decoder.usable_cores import count_usable_cores
from decoder.weights import read_decoder_weights


class Decoder(Protocol):
    vocab_size: int

    def infer(self, chunks: Sequence[Chunk]) -> Logits:
        """The wanted rows, [rows, vocab_size], to read and change until the next call."""
        ...


def open_decoder(engine: Path, num_blocks: int) -> Decoder:
    """Raises RuntimeError for an engine that is none and for a CPU that can't compute it."""
    return NativeDecoder(read_decoder_weights(engine), num_blocks, count_usable_cores(), load_library())
