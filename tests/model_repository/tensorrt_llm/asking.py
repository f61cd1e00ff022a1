"""Requests for the tests, with the dimensions that Triton gives them."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from batching.paged_sequence import PagedSequence
from contract.generation import Generation
from contract.request import GenerationRequest, ModelLimits, read_request
from contract.response_stream import ResponseStream
from contract.tensors import InvalidInput
from engine_settings import UNSUPPORTED_INPUTS
from guides.answer_guide import Guide
from numpy.typing import NDArray
from requested_edits import read_edits
from sampling.logit_edits import Bias, LogitEdit

from tests.model_repository.tensorrt_llm.fake_sender import FakeSender

LIMITS = ModelLimits(vocab_size=100, max_model_len=64, max_prompt_top=64)

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

    def close(self) -> None: ...


GUIDES = FakeGuides()


def request(prompt: list[int] | None = None, **values: Any) -> GenerationRequest:
    return read_request(tensors(prompt, **values), LIMITS, UNSUPPORTED_INPUTS)


def edits(prompt: list[int] | None = None, **values: Any) -> tuple[LogitEdit, ...]:
    return read_edits(tensors(prompt, **values), request(prompt, **values), LIMITS.vocab_size, GUIDES)


def asked_sequence(
    sender: FakeSender, request_id: str = "a", prompt: list[int] | None = None, **values: Any
) -> PagedSequence:
    """What the engine makes of a request."""
    generation = Generation(request(prompt, **values), ResponseStream(request_id, sender))
    return PagedSequence(generation, edits(prompt, **values))


def sequence(
    prompt: Iterable[int],
    max_new_tokens: int = 1024,
    edits: Sequence[LogitEdit] = (),
    sender: FakeSender | None = None,
    **fields: Any,
) -> PagedSequence:
    """The fields are those of GenerationRequest, where they are not its defaults."""
    asked = GenerationRequest(list(prompt), max_new_tokens, **fields)
    return PagedSequence(Generation(asked, ResponseStream("a", sender or FakeSender())), edits)


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
