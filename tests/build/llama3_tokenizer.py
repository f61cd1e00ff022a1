"""Llama 3's tokenizer of Meta's own file, in the form of an engine's tokenizer folder."""

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path

from tokenizers import AddedToken

from build.checkpoint.byte_level_bpe import WORDS, byte_spelling, make_tokenizer
from build.checkpoint.template import choose_template
from build.checkpoint.tokenizer import TokenizerFacts, write_folder

# Llama 3.1's names for the ids from 128000 on; the rest of its 256 control tokens is numbered.
_LLAMA_3_NUM_WORDS = 128_000
_LLAMA_3_NAMES = {
    0: "<|begin_of_text|>",
    1: "<|end_of_text|>",
    4: "<|finetune_right_pad_id|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    8: "<|eom_id|>",
    9: "<|eot_id|>",
    10: "<|python_tag|>",
}


def from_tiktoken(path: Path, folder: Path) -> TokenizerFacts:
    lines = [line.split() for line in path.read_bytes().splitlines()]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    spelling = byte_spelling()
    spelled = {token: "".join(spelling[byte] for byte in token) for token in ranks}
    tokenizer = make_tokenizer(
        vocabulary={spelled[token]: rank for token, rank in ranks.items()},
        merges=[(spelled[left], spelled[right]) for left, right in merges_of_ranks(ranks)],
        words=WORDS["llama-bpe"],
        added=[AddedToken(name, special=True, normalized=False) for name in _llama_3_control_tokens()],
        bos=_LLAMA_3_NAMES[0],
    )
    return write_folder(tokenizer, choose_template(None, tokenizer, {}), [_LLAMA_3_NUM_WORDS + 9], folder)


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


def _llama_3_control_tokens() -> list[str]:
    names = [_LLAMA_3_NAMES.get(index, "") for index in range(256)]
    reserved = (f"<|reserved_special_token_{number}|>" for number in range(256))
    return [name or next(reserved) for name in names]
