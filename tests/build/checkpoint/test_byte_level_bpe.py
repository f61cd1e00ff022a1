"""A vocabulary and a rule for words make the tokenizer that the same files make elsewhere."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from tests.model_repository.preprocess.conversations import text
from tests.model_repository.preprocess.reference import Reference


def unicode_corpus() -> Iterator[str]:
    """A tenth of all assigned characters in the places that the split rule tells apart, and mixed texts."""
    for code in range(0, 0x110000, 7):
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co") or code % 1001 == 0:
            c = chr(code).encode("utf-8", "ignore").decode()
            yield f"a{c}a {c}{c} 1{c}1 !{c}! {c}\n\n{c} '{c}' x\t{c}  {c}\r\n"
    random = Random(0)
    for _ in range(3000):
        yield text(random)


def test_llama_s_conversion_tokenizes_as_tiktoken_does(
    llama_models_folder: Path, reference: Reference
) -> None:
    tokenizer = Tokenizer.from_file(str(llama_models_folder / "llama" / "tokenizer" / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    for sample in unicode_corpus():
        assert tokenizer.encode(sample, add_special_tokens=False).ids == reference.encode(sample)
