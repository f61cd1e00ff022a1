"""A byte-level BPE tokenizer of a few words, as an engine folder holds it."""

from pathlib import Path

from tokenizers import AddedToken

from build.checkpoint.byte_level_bpe import WORDS, byte_spelling, make_tokenizer

WORDS_IN_ORDER = [
    first + last
    for first in ("ba", "co", "du", "fe", "gi", "ho", "ju", "ka")
    for last in ("ld", "mp", "nt", "rs")
]
END_ID = 0
STOP_ID = 1


def write_tiny_engine(folder: Path) -> Path:
    """A tokenizer of two control tokens, every byte, and 32 words with a space before them."""
    spelling = byte_spelling()
    texts = ["<|end|>", "<|stop|>", *(spelling[byte] for byte in range(256))]
    texts += [f"{spelling[32]}{word}" for word in WORDS_IN_ORDER]
    tokenizer = make_tokenizer(
        vocabulary={text: index for index, text in enumerate(texts)},
        merges=[],
        words=WORDS["llama-bpe"],
        added=[AddedToken(text, special=True, normalized=False) for text in texts[:2]],
        bos=None,
    )
    (folder / "tokenizer").mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))
    return folder


FIRST_WORD_ID = 258
VOCAB_SIZE = FIRST_WORD_ID + len(WORDS_IN_ORDER)
