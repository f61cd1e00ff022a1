"""Byte-level BPE tokenizers, made of a vocabulary and the name of the rule that splits text into words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def looks_special(token: str) -> bool:
    """Whether it is a control token whatever its file says: the brackets of convert_hf_to_gguf.py's own rule.

    Some models have theirs as plain added tokens (DeepSeek's), some converters wrote words.
    """
    return token.startswith(("<|", "<｜")) and token.endswith(("|>", "｜>")) and len(token) > 4


def byte_spelling() -> list[str]:
    """The character that spells each byte, as the server reads it."""
    spelling: list[str] = serving_module("postprocess", "token_bytes").byte_spelling()
    return spelling


# Pre-tokenizers that keep every byte of a text, with ByteLevel among them.
_KEEPING = ("ByteLevel", "Digits", "Punctuation", "Sequence", "Split", "UnicodeScripts")

# What assigned characters' UTF-8 has. Vocabularies may lack control characters (SmolLM2's lacks six of them)
# and the bytes of planes without text.
_TEXT_BYTES = frozenset((*b"\t\n\r", *range(0x20, 0x7F), *range(0x80, 0xC0), *range(0xC2, 0xF1)))


def check_byte_level(tokenizer: Tokenizer) -> None:
    """Raises BuildError unless every token is a fixed string of bytes, and their strings are the text's.

    Stop strings, banned words and guides are bytes to be found or forced, wherever they stand in a text.
    """
    state = json.loads(tokenizer.to_str())
    model, kind = state["model"], state["model"]["type"]
    if kind != "BPE" or not isinstance(tokenizer.decoder, decoders.ByteLevel):
        raise BuildError(
            f"The tokenizer is not a byte-level BPE tokenizer ({kind}), the only kind supported."
        )
    for option in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model[option]:
            raise BuildError(f"The tokenizer's {option} is {model[option]!r}: its tokens are no fixed bytes.")
    _check_keeps_text(state)
    added = {token["content"] for token in state["added_tokens"]}
    spelling = byte_spelling()
    alphabet = frozenset(spelling)
    for token in model["vocab"].keys() - added:
        if not alphabet.issuperset(token):
            raise BuildError(f"The tokenizer is not byte-level: its token {token!r} has no fixed bytes.")
    lacking = [byte for byte in sorted(_TEXT_BYTES) if spelling[byte] not in model["vocab"]]
    if lacking:
        raise BuildError(f"The tokenizer has no token for the byte 0x{lacking[0]:02X}: texts would lose it.")
    if not any(token["special"] for token in state["added_tokens"]):
        raise BuildError("The tokenizer has no special token, by which a turn or a text could end.")
    for token in state["added_tokens"]:
        if token["lstrip"] or token["rstrip"] or (token["special"] and token["single_word"]):
            raise BuildError(
                f"The tokenizer's token {token['content']!r} depends on the text beside it (lstrip, rstrip, "
                "single_word), which is not supported."
            )


def _check_keeps_text(state: Mapping[str, Any]) -> None:
    normalizer = state["normalizer"]
    if normalizer is not None:
        raise BuildError(
            f"The tokenizer's normalizer ({normalizer['type']}) changes texts, which is not supported."
        )
    steps = list(_steps(state["pre_tokenizer"] or {"type": "none"}))
    if not any(step["type"] == "ByteLevel" for step in steps):
        raise BuildError("The tokenizer's pre-tokenizer is not byte-level.")
    for step in steps:
        if step["type"] not in _KEEPING or step.get("add_prefix_space") or step.get("behavior") == "Removed":
            raise BuildError(
                f"The tokenizer's pre-tokenizer ({step['type']}) changes texts, which is not supported."
            )


def _steps(pre_tokenizer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield pre_tokenizer
    for step in pre_tokenizer.get("pretokenizers", ()):
        yield from _steps(step)
