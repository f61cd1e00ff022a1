"""Requests for the tests, with the dimensions that Triton gives them."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from contract.errors import InvalidInput
from contract.request import EngineRequest, ModelLimits, read_request
from guides.answer_guide import Guide
from numpy.typing import NDArray
from sampling.logit_edits import Bias, LogitEdit

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


class FakeGuides:
    """Lets through only the ids that stand in the guide, and refuses one that holds none."""

    def compile(self, guide: Guide, end_ids: Collection[int]) -> LogitEdit:
        ids = {int(word) for word in guide.text.split()}
        if not ids:
            raise InvalidInput("guided_decoding_guide", "holds no id.")
        forbidden = set(range(LIMITS.vocab_size)) - ids - set(end_ids)
        return Bias(dict.fromkeys(forbidden, -math.inf))


GUIDES = FakeGuides()


def request(prompt: list[int] | None = None, **values: Any) -> EngineRequest:
    return read_request(tensors(prompt, **values), LIMITS, GUIDES)


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
