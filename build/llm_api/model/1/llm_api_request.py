"""What one request wants generated; everything that can be wrong with its tensors is found here."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from contract.errors import InvalidInput
from contract.sampling import Sampling, read_sampling
from contract.stop_word_ids import Word, read_words
from contract.tensors import Tensors, read_flag, read_ids, read_integer
from llm_api_capabilities import ADAPTER_INPUT, refuse_unsupported
from llm_api_guide import LlmApiGuide, read_guide
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LlmApiLimits:
    """max_model_len counts prompt and generated ids together; task_ids are those of the LoRA adapters."""

    vocab_size: int
    max_model_len: int
    task_ids: Collection[int]


@dataclass(frozen=True, slots=True, eq=False)
class LlmApiRequest:
    """end_id is None when nothing but the length ends the text."""

    prompt_ids: list[int]
    max_new_tokens: int
    min_new_tokens: int
    end_id: int | None
    stop_words: tuple[Word, ...]
    bad_ids: list[int]
    bias: NDArray[np.float32] | None
    guide: LlmApiGuide | None
    sampling: Sampling
    task_id: int | None
    is_streaming: bool
    repeats_prompt: bool
    returns_log_probs: bool
    returns_perf_metrics: bool
    returns_num_input_tokens: bool
    returns_num_output_tokens: bool


def read_request(
    tensors: Tensors, limits: LlmApiLimits, try_out_guide: Callable[[LlmApiGuide], None]
) -> LlmApiRequest:
    """Raises InvalidInput with the name of the first tensor that can't be honoured."""
    refuse_unsupported(tensors, has_adapters=bool(limits.task_ids))
    prompt_ids: list[int] = read_ids(tensors, "input_ids", limits.vocab_size)[0].tolist()
    wanted = read_integer(tensors, "request_output_len", 0, low=1)
    max_new_tokens = min(wanted, _room_after(len(prompt_ids), limits))
    end_id = read_integer(tensors, "end_id", -1, low=-1, high=limits.vocab_size - 1)
    streaming = read_flag(tensors, "streaming")
    return LlmApiRequest(
        prompt_ids=prompt_ids,
        max_new_tokens=max_new_tokens,
        min_new_tokens=min(read_integer(tensors, "min_tokens", 0, low=0, high=wanted), max_new_tokens),
        end_id=None if end_id == -1 else end_id,
        stop_words=read_words(tensors, "stop_words_list", limits.vocab_size),
        bad_ids=_read_bad_ids(tensors, limits.vocab_size),
        bias=_read_bias(tensors, limits.vocab_size),
        guide=read_guide(tensors, try_out_guide),
        sampling=read_sampling(tensors),
        task_id=_read_task_id(tensors, limits),
        is_streaming=streaming,
        repeats_prompt=not streaming and not read_flag(tensors, "exclude_input_in_output"),
        returns_log_probs=read_flag(tensors, "return_log_probs"),
        returns_perf_metrics=read_flag(tensors, "return_perf_metrics"),
        returns_num_input_tokens=read_flag(tensors, "return_num_input_tokens"),
        returns_num_output_tokens=read_flag(tensors, "return_num_output_tokens"),
    )


def _room_after(num_prompt_tokens: int, limits: LlmApiLimits) -> int:
    room = limits.max_model_len - num_prompt_tokens
    if room < 1:
        raise InvalidInput(
            "input_ids",
            f"{num_prompt_tokens} ids leave no room in the model's {limits.max_model_len}.",
            "context_length_exceeded",
        )
    return room


def _read_bad_ids(tensors: Tensors, vocab_size: int) -> list[int]:
    """The LLM API takes bad words of several ids as text alone, which it would cut into other ids."""
    words = read_words(tensors, "bad_words_list", vocab_size)
    if any(len(word) > 1 for word in words):
        raise InvalidInput("bad_words_list", "words of more than one token are not supported by this engine.")
    return [word[0] for word in words]


def _read_bias(tensors: Tensors, vocab_size: int) -> Any:
    bias = tensors.get("embedding_bias")
    if bias is None or not bias.size:
        return None
    if bias.size != vocab_size or not np.isfinite(bias).all():
        raise InvalidInput("embedding_bias", f"must be {vocab_size} finite numbers, one for each id.")
    return bias.reshape(-1)


def _read_task_id(tensors: Tensors, limits: LlmApiLimits) -> int | None:
    if not limits.task_ids or ADAPTER_INPUT not in tensors or not tensors[ADAPTER_INPUT].size:
        return None
    task_id = read_integer(tensors, ADAPTER_INPUT, 0, low=0)
    if task_id not in limits.task_ids:
        raise InvalidInput(ADAPTER_INPUT, f"{task_id} is no adapter of this engine.")
    return task_id
