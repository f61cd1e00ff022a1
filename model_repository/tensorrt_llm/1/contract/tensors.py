"""Values out of a request's tensors, checked; a tensor that is absent or empty gives the default."""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
# Of one sequence, by id.
Logits: TypeAlias = NDArray[np.float32]


class InvalidInput(ValueError):
    """Names the tensor at fault; its text is the JSON object from which an API server makes its answer."""

    def __init__(self, param: str, complaint: str, code: str | None = None) -> None:
        super().__init__(json.dumps({"message": f"{param}: {complaint}", "param": param, "code": code}))
        self.param = param


def read_flag(tensors: Tensors, name: str) -> bool:
    return bool(_scalar(tensors, name, False))


def read_integer(tensors: Tensors, name: str, default: int, low: int, high: int | None = None) -> int:
    value = int(_scalar(tensors, name, default))
    if value < low or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"between {low} and {high}"
        raise InvalidInput(name, f"must be {wanted}, got {value}.")
    return value


def read_number(tensors: Tensors, name: str, default: float, low: float, high: float) -> float:
    value = float(_scalar(tensors, name, default))
    if not low <= value <= high:
        raise InvalidInput(name, f"must be between {low:g} and {high:g}, got {value:g}.")
    return value


def read_finite(tensors: Tensors, name: str, default: float) -> float:
    value = float(_scalar(tensors, name, default))
    if not math.isfinite(value):
        raise InvalidInput(name, f"must be a finite number, got {value}.")
    return value


def read_ids(tensors: Tensors, name: str, vocab_size: int) -> NDArray[np.int64]:
    """The ids of a tensor [1, n], as an array [1, n]."""
    array = tensors.get(name)
    if array is None or array.size == 0:
        raise InvalidInput(name, "must hold at least one id.")
    if array.ndim != 2 or array.shape[0] != 1:
        raise InvalidInput(name, f"must be one sequence, of shape [1, n], got {list(array.shape)}.")
    check_ids(array, name, vocab_size)
    return array.astype(np.int64)


def read_text(tensors: Tensors, name: str) -> str:
    text = _scalar(tensors, name, b"")
    try:
        return str(text.decode())
    except UnicodeDecodeError as error:
        raise InvalidInput(name, "must be UTF-8.") from error


def check_ids(array: NDArray[Any], name: str, vocab_size: int) -> None:
    """The engine itself takes any number for an id and reads past its tables."""
    if array.size and (array.min() < 0 or array.max() >= vocab_size):
        raise InvalidInput(name, f"every id must be between 0 and {vocab_size - 1}.")


def _scalar(tensors: Tensors, name: str, default: float | bytes) -> Any:
    array = tensors.get(name)
    if array is None or array.size == 0:
        return default
    if array.size > 1:
        raise InvalidInput(name, f"must be one value, got {array.size}: a request holds one sequence.")
    return array.item()
