"""Turns the tokenizer and the chat template of a GGUF file into a tokenizer folder."""

from pathlib import Path
from typing import Any

import gguf
from tokenizers import AddedToken, Tokenizer

from build.checkpoint.byte_level_bpe import WORDS, looks_special, make_tokenizer
from build.checkpoint.gguf import read_field
from build.checkpoint.template import choose_template
from build.checkpoint.tokenizer import TokenizerFacts, write_folder
from build.errors import BuildError

# llama.cpp's llama_token_type.
_UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 2, 3, 4, 5

# Fields of ids, and what templates call their tokens; "seperator" is llama.cpp's spelling.
_NAMED = {
    "bos_token_id": "bos_token",
    "eos_token_id": "eos_token",
    "unknown_token_id": "unk_token",
    "seperator_token_id": "sep_token",
    "padding_token_id": "pad_token",
    "mask_token_id": "mask_token",
}
_MORE_ENDS = ("eot_token_id", "eom_token_id")


def from_gguf(reader: gguf.GGUFReader, folder: Path) -> TokenizerFacts:
    """Reads the tokenizer.ggml fields; raises BuildError for a kind or a pre-tokenizer that is not known."""
    fields = _GgufFields(reader)
    if fields.get("model") != "gpt2":
        raise BuildError(f"The GGUF tokenizer {fields.get('model')!r} is not byte-level BPE ('gpt2').")
    if fields.get("pre") not in WORDS:
        known = ", ".join(WORDS)
        raise BuildError(f"The GGUF pre-tokenizer {fields.get('pre')!r} is not supported; known are {known}.")
    end_ids = [fields.get("eos_token_id"), *fields.ids(*_MORE_ENDS).values()]
    try:
        tokenizer = _tokenizer(fields)
    except Exception as error:
        if isinstance(error, BuildError):
            raise
        # The library raises plain Exception for merges that are none.
        raise BuildError(f"The GGUF tokenizer is damaged: {error}.") from error
    names = {_NAMED[key]: fields.get("tokens")[index] for key, index in fields.ids(*_NAMED).items()}
    template = choose_template(fields.get("chat_template", None), tokenizer, names)
    return write_folder(tokenizer, template, end_ids, folder)


class _GgufFields:
    """The fields below tokenizer.ggml; chat_template lies one level higher."""

    def __init__(self, reader: gguf.GGUFReader) -> None:
        self._reader = reader

    def get(self, key: str, *default: Any) -> Any:
        name = "tokenizer.chat_template" if key == "chat_template" else f"tokenizer.ggml.{key}"
        return read_field(self._reader, name, *default)

    def ids(self, *keys: str) -> dict[str, int]:
        """Those of the keys that name a token."""
        found = {key: index for key in keys if (index := self.get(key, None)) is not None}
        for key, index in found.items():
            if not isinstance(index, int) or not 0 <= index < len(self.get("tokens")):
                raise BuildError(f"The GGUF field tokenizer.ggml.{key} is {index!r}, which is no token.")
        return found


def _tokenizer(fields: _GgufFields) -> Tokenizer:
    words = WORDS[fields.get("pre")]
    tokens: list[str] = fields.get("tokens")
    types: list[int] = fields.get("token_type")
    has_bos = fields.get("add_bos_token", words.adds_bos)
    return make_tokenizer(
        # What fills a vocabulary up to a round number is no text, and not to be chosen.
        vocabulary={
            token: index
            for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
            if kind != _UNUSED
        },
        merges=[_pair(merge) for merge in fields.get("merges")],
        words=words,
        added=_added_tokens(tokens, types, {*fields.ids("eos_token_id", *_MORE_ENDS).values()}),
        bos=tokens[fields.get("bos_token_id")] if has_bos else None,
    )


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    return left, right


def _added_tokens(tokens: list[str], types: list[int], ends: set[int]) -> list[AddedToken]:
    """As in llama-vocab.cpp, ends and unknown tokens are control tokens whatever the file says."""
    added = []
    for index, (token, kind) in enumerate(zip(tokens, types, strict=True)):
        is_control = kind in (_UNKNOWN, _CONTROL) or index in ends or looks_special(token)
        if kind != _UNUSED and (is_control or kind == _USER_DEFINED):
            added.append(AddedToken(token, special=is_control, normalized=False))
    return added
