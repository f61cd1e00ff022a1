"""The text of a stream: words of the vocabulary in their order, from a place that prompt and seed decide.

A client that knows the order sees a lost, a doubled and a foreign token.
"""

import itertools
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# How byte-level BPE spells a space in front of a word.
_WORD = re.compile("\u0120([a-z]{2,})")
# Far apart, so that the streams of neighbouring seeds do not run into each other.
_SEED_STRIDE = 7919


class ReplayWords:
    """Takes the vocabulary of a byte-level BPE tokenizer; a word is one token, with the space before it."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        matches = ((index, _WORD.fullmatch(text)) for text, index in vocabulary.items())
        found = sorted((index, match[1]) for index, match in matches if match)
        if not found:
            raise ValueError("the tokenizer has no token that is a space and a word.")
        self.ids = np.array([index for index, _ in found], np.int32)
        # What ends strings, objects and lists of JSON, in the order of preference.
        self.closing_ids = [vocabulary[text] for text in ('"', "}", "]") if text in vocabulary]
        self._places = {word: place for place, (_, word) in enumerate(found)}

    def __len__(self) -> int:
        return len(self.ids)

    def start(self, prompt_ids: NDArray[np.int32], seed: int | None, adapter: int = 0) -> int:
        """The place of the first word; without a seed the prompt alone decides."""
        place = zlib.crc32(prompt_ids.tobytes()) + adapter
        return (place if seed is None else place + _SEED_STRIDE * (seed + 1)) % len(self)

    def take(self, start: int, count: int) -> NDArray[np.int32]:
        """Ids of the words from that place on; the first word follows the last one."""
        ids: NDArray[np.int32] = self.ids[np.arange(start, start + count) % len(self)]
        return ids

    def is_unbroken(self, text: str) -> bool:
        """Whether each word of the text is the one that follows the word before it."""
        places = [self._places.get(word, -1) for word in text.split()]
        steps = itertools.pairwise(places)
        return -1 not in places and all((place + 1) % len(self) == following for place, following in steps)


def read_words(tokenizer_json: Path) -> tuple[ReplayWords, int]:
    """The words, and the number of ids; raises ValueError unless it is byte-level BPE."""
    tokenizer = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    ids = [*vocabulary.values(), *(token["id"] for token in tokenizer["added_tokens"])]
    return ReplayWords(vocabulary), max(ids) + 1
