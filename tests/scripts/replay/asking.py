"""The replay engine in this process: requests with the dimensions of Triton's, answers written down."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contract.metrics import EngineLoad
from contract.response_stream import ResponseLost
from contract.tensors import InvalidInput
from numpy.typing import NDArray
from replay_engine import ReplayEngine, load_engine

from scripts.replay.options import ReplayOptions
from tests.scripts.replay.tiny_vocabulary import write_tiny_engine

TIMEOUT_S = 10
OUTPUTS = (
    "output_ids",
    "sequence_length",
    "cum_log_probs",
    "output_log_probs",
    "generation_logits",
    "batch_index",
    "sequence_index",
    "num_input_tokens",
    "num_output_tokens",
    "kv_cache_alloc_new_blocks",
    "kv_cache_reused_blocks",
    "kv_cache_alloc_total_blocks",
    "arrival_time_ns",
    "first_scheduled_time_ns",
    "first_token_time_ns",
    "last_token_time_ns",
    "acceptance_rate",
    "total_accepted_draft_tokens",
    "total_draft_tokens",
)
# What stands in config.pbtxt beside the options; the values are those of TensorRT-LLM that are not set.
_DEFAULTS = {
    "engine_dir": "../engine",
    "max_model_len": "64",
    "cancellation_check_period_ms": "100",
    "exclude_input_in_output": "false",
    "normalize_log_probs": "false",
    "lora_task_ids": "",
}
_NUMPY_TYPES = {bool: np.bool_, int: np.int32, float: np.float32}


@dataclass(frozen=True)
class Sent:
    tensors: Mapping[str, NDArray[Any]]
    is_final: bool

    @property
    def ids(self) -> list[int]:
        return [int(token_id) for token_id in self.tensors["output_ids"].ravel()]

    def value(self, name: str) -> Any:
        return self.tensors[name].item()


class FakeSender:
    """Triton's side of a request."""

    def __init__(self) -> None:
        self.responses: list[Sent] = []
        self.error: str | None = None
        self.is_closed = False
        self.has_left = False
        self.loses_responses = False
        self.responded = threading.Event()
        self.ended = threading.Event()

    @property
    def ids(self) -> list[int]:
        return [token_id for response in self.responses for token_id in response.ids]

    def send(self, tensors: Mapping[str, NDArray[Any]], is_final: bool) -> None:
        assert not self.ended.is_set(), "a response after the final one"
        if self.loses_responses:
            raise ResponseLost("no shared memory is left")
        self.responses.append(Sent(tensors, is_final))
        self.responded.set()
        if is_final:
            self.ended.set()

    def refuse(self, reason: InvalidInput) -> None:
        raise AssertionError(f"TensorRT-LLM's backend has internal errors alone: {reason}")

    def fail(self, message: str) -> None:
        self.error = message
        self._end()

    def close(self) -> None:
        self.is_closed = True
        self._end()

    def is_cancelled(self) -> bool:
        return self.has_left

    def wait(self) -> "FakeSender":
        assert self.ended.wait(TIMEOUT_S), "no end"
        return self

    def wait_for_a_response(self) -> None:
        assert self.responded.wait(TIMEOUT_S), "no response"

    def _end(self) -> None:
        assert not self.ended.is_set(), "two ends"
        self.ended.set()


class Asking:
    """One engine, and how to ask it."""

    def __init__(self, engine: ReplayEngine) -> None:
        self._engine = engine

    @property
    def load(self) -> EngineLoad:
        return self._engine.load()

    def start(self, *, request_id: str = "", wanted: tuple[str, ...] = OUTPUTS, **tensors: Any) -> FakeSender:
        sender = FakeSender()
        self._engine.accept(request_id, request_tensors(**tensors), wanted, sender)
        return sender

    def ask(self, **arguments: Any) -> FakeSender:
        """Returns when the answer is over."""
        return self.start(**arguments).wait()


@contextmanager
def replay_engine(folder: Path, max_queue_size: int = 0, **parameters: str) -> Iterator[Asking]:
    """Parameters are those of config.pbtxt, where they are not ReplayOptions' own."""
    if not (folder / "engine").exists():
        write_tiny_engine(folder / "engine")
    given = {**asdict(ReplayOptions()), **_DEFAULTS, **parameters}
    config = {
        "parameters": {name: {"string_value": value} for name, value in given.items()},
        "dynamic_batching": {"default_queue_policy": {"max_queue_size": max_queue_size}},
    }
    engine = load_engine(config, str(folder / "models" / "tensorrt_llm"))
    try:
        yield Asking(engine)
    finally:
        engine.close()


def request_tensors(**tensors: Any) -> dict[str, NDArray[Any]]:
    """A scalar becomes [1], a list of ids [1, n]; an array is taken as it is."""
    asked = {"input_ids": [5, 6, 7], "input_lengths": 3, "request_output_len": 8, **tensors}
    return {name: _tensor(name, value) for name, value in asked.items() if value is not None}


def word_list(*words: list[int]) -> NDArray[np.int32]:
    ids = [token_id for word in words for token_id in word]
    ends = np.cumsum([len(word) for word in words], dtype=np.int32).tolist()
    return np.array([[ids, ends + [-1] * (len(ids) - len(ends))]], np.int32)


def _tensor(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, list):
        return np.array([value], np.int32)
    if isinstance(value, bytes):
        return np.array([value], np.object_)
    if name in ("seed", "lora_task_id"):
        return np.array([value], np.uint64)
    return np.array([value], _NUMPY_TYPES[type(value)])
