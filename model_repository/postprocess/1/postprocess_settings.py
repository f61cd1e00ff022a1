"""The parameters of config.pbtxt, checked once against the tokenizer when the model loads."""

import re
from collections.abc import Mapping
from pathlib import Path

from token_bytes import TokenBytes, read_token_bytes


def load_token_bytes(parameters: Mapping[str, str], models_folder: Path) -> TokenBytes:
    """Raises ValueError with a sentence that names the parameter."""
    path = (models_folder / _required(parameters, "engine_dir")).resolve() / "tokenizer" / "tokenizer.json"
    tokens = read_token_bytes(path)
    vocab_size = _required(parameters, "vocab_size")
    num_ids = len(tokens.pieces)
    if vocab_size != str(num_ids):
        raise ValueError(f"The parameter vocab_size does not fit {path}: {vocab_size!r} is not {num_ids}.")
    stated = read_ranges(_required(parameters, "special_ids"))
    if stated != tokens.special_ids:
        wrong = min(stated ^ tokens.special_ids)
        raise ValueError(f"The parameter special_ids does not fit {path}: they differ at id {wrong}.")
    return tokens


def read_ranges(text: str) -> frozenset[int]:
    """Comma separated ids and ranges with both ends included, 0-16,20."""
    ranges = [re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", item) for item in text.split(",")]
    if None in ranges:
        raise ValueError(f"The parameter special_ids must be ids and ranges such as 0-16,20, not {text!r}.")
    bounds = [(int(match[1]), int(match[2] or match[1])) for match in ranges if match]
    return frozenset(index for first, last in bounds for index in range(first, last + 1))


def _required(parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        raise ValueError(f"The parameter {name} of postprocess is missing.")
    return parameters[name]
