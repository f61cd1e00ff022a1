"""The fixed bytes of every token, read from a byte-level tokenizer.json."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TokenBytes:
    """pieces[i] are the bytes of id i, a special token's being its name; an unused id has none."""

    pieces: list[bytes]
    special_ids: frozenset[int]


def read_token_bytes(path: Path) -> TokenBytes:
    """Raises ValueError with a sentence for the operator."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: run `make build-engines`, or correct engine_dir.")
    tokenizer = json.loads(path.read_bytes())
    vocabulary, added = tokenizer["model"]["vocab"], tokenizer["added_tokens"]
    names = {token["id"]: token["content"].encode() for token in added}
    num_ids = max([*vocabulary.values(), *names]) + 1
    pieces = [b""] * num_ids
    byte_of = {ord(character): byte for byte, character in enumerate(byte_spelling())}
    for token, index in vocabulary.items():
        pieces[index] = names[index] if index in names else _bytes(token, byte_of, path)
    for index, name in names.items():
        pieces[index] = name
    return TokenBytes(pieces, frozenset(token["id"] for token in added if token["special"]))


def byte_spelling() -> list[str]:
    """GPT-2's character for each byte: itself where printable, else U+0100 and on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(moved)) for byte in range(256)]


def _bytes(token: str, byte_of: dict[int, int], path: Path) -> bytes:
    try:
        return bytes(byte_of[ord(character)] for character in token)
    except KeyError as error:
        raise ValueError(f"{path} is not byte-level: its token {token!r} has no fixed bytes.") from error
