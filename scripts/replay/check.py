"""What a client needs to know to check the replay engine: its texts, and how many it writes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay_words import ReplayWords

MODEL = Path(__file__).parent / "tensorrt_llm" / "1"


def words_of(engine: Path) -> "ReplayWords":
    """The words of an engine folder's tokenizer: `is_unbroken(text)` says whether a token is missing."""
    # The model's modules import each other by bare name, as under Triton.
    sys.path.insert(0, str(MODEL))
    from replay_words import read_words

    words, _ = read_words(engine / "tokenizer" / "tokenizer.json")
    return words


def read_count(file: Path) -> int:
    """How many sequences run or wait, of the file that SEQUENCE_COUNT_FILE names."""
    return int.from_bytes(file.read_bytes(), "little")
