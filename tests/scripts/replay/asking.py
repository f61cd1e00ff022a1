"""The replay engine in this process: requests with the dimensions of Triton's, answers written down."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from contract.metrics import EngineLoad
from numpy.typing import NDArray
from replay_engine import ReplayEngine, load_engine

from scripts.replay.options import ReplayOptions
from tests.model_repository.tensorrt_llm.fake_sender import FakeSender
from tests.scripts.replay.tiny_vocabulary import write_tiny_engine

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
