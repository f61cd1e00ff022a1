"""What a client needs to know to check the replay engine's texts."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.replay.repository import MODEL

if TYPE_CHECKING:
    from replay_words import ReplayWords


def words_of(engine: Path) -> "ReplayWords":
    """The words of an engine folder's tokenizer: `is_unbroken(text)` says whether a token is missing."""
    # The model's modules import each other by bare name, as under Triton.
    sys.path.insert(0, str(MODEL))
    from replay_words import read_words

    words, _ = read_words(engine / "tokenizer" / "tokenizer.json")
    return words
