"""Asks a preprocessor as Triton does, with plain values in place of tensors."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from preprocessor import Preprocessor

SEED_CHAT = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is machine learning?"},
]


def tensors(**inputs: Any) -> dict[str, NDArray[Any]]:
    """messages and tools are written as JSON unless they are text already."""
    return {name: _tensor(name, value) for name, value in inputs.items()}


def ask(preprocessor: Preprocessor, **inputs: Any) -> dict[str, NDArray[Any]]:
    return preprocessor.prepare(tensors(**inputs))


def prompt_ids(preprocessor: Preprocessor, **inputs: Any) -> list[int]:
    ids: list[int] = ask(preprocessor, **inputs)["input_ids"][0].tolist()
    return ids


def _tensor(name: str, value: Any) -> NDArray[Any]:
    if name in ("messages", "tools") and not isinstance(value, str | bytes):
        value = json.dumps(value)
    values = value if isinstance(value, list) else [value]
    values = [item.encode() if isinstance(item, str) else item for item in values]
    return np.array([values], dtype=_type(name, values))


def _type(name: str, values: list[Any]) -> Any:
    if name.endswith("weights"):
        return np.float32
    if any(isinstance(item, bool) for item in values):
        return np.bool_
    return object if any(isinstance(item, bytes) for item in values) or name.endswith("words") else np.int32
