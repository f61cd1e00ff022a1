"""Requests for the tests, with the dimensions that Triton gives them."""

from typing import Any

import numpy as np
from engine_request import EngineRequest, ModelLimits, read_request
from numpy.typing import NDArray

LIMITS = ModelLimits(vocab_size=100, max_model_len=64)

_FLOATS = {
    "temperature",
    "runtime_top_p",
    "min_p",
    "len_penalty",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
}


def tensors(prompt: list[int] | None = None, **values: Any) -> dict[str, NDArray[Any]]:
    """A scalar becomes [1]; an array is taken as it is."""
    asked = {
        "input_ids": np.array([[1, 2, 3] if prompt is None else prompt], np.int32),
        "input_lengths": np.array([3], np.int32),
        "request_output_len": np.array([8], np.int32),
    }
    return asked | {name: _tensor(name, value) for name, value in values.items()}


def request(prompt: list[int] | None = None, **values: Any) -> EngineRequest:
    return read_request(tensors(prompt, **values), LIMITS)


def words(*lists: list[int]) -> NDArray[np.int32]:
    ids = [token_id for word in lists for token_id in word]
    ends = np.cumsum([len(word) for word in lists], dtype=np.int32).tolist()
    return np.array([[ids, ends + [-1] * (len(ids) - len(ends))]], np.int32)


def _tensor(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, bytes):
        return np.array([value], np.object_)
    if isinstance(value, bool):
        return np.array([value], np.bool_)
    if name in _FLOATS:
        return np.array([value], np.float32)
    return np.array([value], np.uint64 if name == "seed" else np.int32)
