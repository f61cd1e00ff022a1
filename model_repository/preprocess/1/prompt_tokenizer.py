"""Text to token ids; only templates and raw prompts make control tokens, never the text of a chat."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from control_tokens import ControlTokens
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

# A finite number, which engines ask for.
_NEVER = -1e9


class PromptTokenizer:
    """A byte-level BPE tokenizer from a tokenizer.json."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.encode_special_tokens = True
        # Those of a training, in folders that an older build wrote.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # A byte that the vocabulary lacks is dropped; the unknown token would be a control token.
        self._tokenizer.model.unk_token = None
        added = self._tokenizer.get_added_tokens_decoder()
        self._control_ids = {token.content: index for index, token in added.items() if token.special}
        self.control = ControlTokens(self._control_ids)
        self.vocab_size = max(self._tokenizer.get_vocab().values()) + 1
        self._weights = _byte_weights(self._tokenizer, with_control=False)
        self._raw_weights = _byte_weights(self._tokenizer, with_control=True)
        self._before_text = self._ids_before_text()
        self._check_control_tokens(path)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; never a control token."""
        ids: list[int] = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def encode_completion(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """A raw prompt, in which names of control tokens mean these: its author is the template's.

        Before it stands what the tokenizer puts before every text, for Llama 3 its one BOS, unless it does.
        """
        # By the library: a pattern of 256 names would take a second for a megabyte of their beginnings.
        self._tokenizer.encode_special_tokens = False
        try:
            ids = self.encode(text)
        finally:
            self._tokenizer.encode_special_tokens = True
        before = self._before_text if add_special_tokens else []
        return ids if ids[: len(before)] == before else [*before, *ids]

    def encode_rendered(self, pieces: Sequence[str | int]) -> list[int]:
        """Pieces of a rendered chat template, as ControlTokens.split gives them."""
        texts = [piece for piece in pieces if isinstance(piece, str)]
        encoded = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        ids: list[int] = []
        for piece in pieces:
            ids += [piece] if isinstance(piece, int) else next(encoded).ids
        return ids

    def encode_word(self, word: str) -> list[int]:
        """Like encode, but a word that is exactly a control token's name means that token."""
        index = self._control_ids.get(word)
        return self.encode(word) if index is None else [index]

    def encode_banned(self, word: str) -> list[list[int]]:
        """A word as it begins a text and as it stands within one, as vLLM does; a control token is itself."""
        if word in self._control_ids:
            return [self.encode_word(word)]
        bare = word.lstrip(" ")
        forms = [self.encode(word), self.encode(f" {bare}"), self.encode(bare)]
        return [ids for place, ids in enumerate(forms) if ids not in forms[:place]]

    def has_id(self, index: int) -> bool:
        return self._tokenizer.id_to_token(index) is not None

    def bias_of_no_tokens(self, logits_size: int) -> NDArray[np.float32]:
        """[ids]: what fills a model's vocabulary up to a round number is never to be chosen."""
        bias = np.full(max(logits_size, self.vocab_size), _NEVER, np.float32)
        bias[list(self._tokenizer.get_vocab().values())] = 0
        return bias

    def least_tokens(self, text: str, is_raw: bool = False) -> int:
        """A lower bound of the number of tokens, without tokenizing: a millisecond per megabyte.

        `is_raw`: names of control tokens mean these.
        """
        counts = np.bincount(np.frombuffer(text.encode(), np.uint8), minlength=256)
        return int(counts @ (self._raw_weights if is_raw else self._weights))

    def _ids_before_text(self) -> list[int]:
        whole: list[int] = self._tokenizer.encode("a").ids
        return whole[: whole.index(self.encode("a")[0])]

    def _check_control_tokens(self, path: Path) -> None:
        """A vocabulary whose merges can spell a control token would let users write it."""
        control_ids = set(self._control_ids.values())
        for name in self._control_ids:
            if control_ids.intersection(self.encode(name)):
                raise ValueError(
                    f"{path}: the text {name!r} becomes a control token, which is not safe to serve."
                )


def _byte_weights(tokenizer: Tokenizer, with_control: bool) -> NDArray[np.float64]:
    """Per byte, one through the length of the longest token that has it: a token's weights sum to 1 at most.

    All zero where a normalizer may shorten the text.
    """
    weights = np.zeros(256)
    if tokenizer.normalizer is not None:
        return weights
    spelling = _spelling()
    added = tokenizer.get_added_tokens_decoder().values()
    tokens = set(tokenizer.get_vocab(with_added_tokens=False)) - {token.content for token in added}
    tokens |= {
        "".join(spelling[byte] for byte in token.content.encode())
        for token in added
        if with_control or not token.special
    }
    longest: dict[str, int] = {}
    for token in sorted(tokens, key=len):
        longest.update(dict.fromkeys(token, len(token)))
    for byte, character in spelling.items():
        if character in longest:
            weights[byte] = 1 / longest[character]
    return weights


def _spelling() -> dict[int, str]:
    """The character by which a byte-level vocabulary spells each byte that is part of any UTF-8 text."""
    # Every last byte, and every first one.
    codes = [*range(0x100), *range(0x100, 0xD800, 0x40), *range(0xE000, 0x110000, 0x40)]
    text = "".join(map(chr, codes))
    [(spelled, _)] = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return dict(zip(text.encode(), spelled, strict=True))
