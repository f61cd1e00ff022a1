"""Byte-level BPE tokenizers, made of a vocabulary and the name of the rule that splits text into words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from build.checkpoint.template import serving_module
from build.errors import BuildError

# Split rule of Llama 3, as in llama-models' llama3/tokenizer.py (pat_str).
LLAMA_3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Words:
    """How text is cut into words before merging; a whole word of the vocabulary may skip the merges."""

    steps: tuple[pre_tokenizers.PreTokenizer, ...]
    ignore_merges: bool = False
    adds_bos: bool = False


def _bytes_of_words() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def _words_of_gpt_2() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


# By llama.cpp's names (tokenizer.ggml.pre), with its defaults for ignore_merges and the first token.
WORDS: Mapping[str, Words] = {
    "gpt-2": Words((_words_of_gpt_2(),)),
    "smollm": Words((pre_tokenizers.Digits(individual_digits=True), _words_of_gpt_2())),
    "llama-bpe": Words(
        (pre_tokenizers.Split(Regex(LLAMA_3_WORDS), "isolated"), _bytes_of_words()),
        ignore_merges=True,
        adds_bos=True,
    ),
}


def make_tokenizer(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    words: Words,
    added: Sequence[AddedToken],
    bos: str | None,
) -> Tokenizer:
    """Tokens are written in the byte-level alphabet; `bos` is put before every text that is encoded whole."""
    model = models.BPE(vocab=dict(vocabulary), merges=list(merges), ignore_merges=words.ignore_merges)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(words.steps))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(list(added))
    if bos is not None:
        bos_id = tokenizer.token_to_id(bos)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, bos_id)]
        )
    return tokenizer


def merges_of_ranks(ranks: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Every pair of tokens that joins into a token, best rank first: tiktoken's rule as a list of merges."""
    merges: list[tuple[bytes, bytes]] = []
    for token in sorted(ranks, key=ranks.__getitem__):
        merges += sorted(_halves(token, ranks), key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return merges


def _halves(token: bytes, ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    for cut in range(1, len(token)):
        if token[:cut] in ranks and token[cut:] in ranks:
            yield token[:cut], token[cut:]


def byte_spelling() -> list[str]:
    """The character that spells each byte, as the server reads it."""
    spelling: list[str] = serving_module("postprocess", "token_bytes").byte_spelling()
    return spelling


def check_byte_level(tokenizer: Tokenizer, source: object) -> None:
    """Raises BuildError unless every token of the tokenizer is a fixed string of bytes."""
    kind = type(tokenizer.model).__name__
    if kind != "BPE" or not isinstance(tokenizer.decoder, decoders.ByteLevel):
        raise BuildError(f"{source} is not a byte-level BPE tokenizer ({kind}), the only kind supported.")
