"""One sequence to write: a request's tensors, read as TensorRT-LLM's C++ backend and executor read them.

The checks and their texts are those of utils.cc, samplingConfig.cpp, requestImpl.h, llmRequest.cpp and
executorImpl.cpp.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from contract.stop_word_ids import Word
from contract.tensors import Tensors
from numpy.typing import NDArray

# The last is none of TensorRT-LLM's: before that engine preprocess makes it an ebnf_grammar.
_GUIDE_TYPES = ("json", "json_schema", "regex", "ebnf_grammar", "text_or_json_schema")


class RequestRefused(Exception):
    """Raised before the executor sees the request: the backend sends the text as it is."""


class ExecutorFailure(Exception):
    """Raised when the executor takes the request up; the backend names the request in front of the text."""


class ForwardFailure(Exception):
    """Raised within a step: the executor ends every request that it runs with the same text."""


def _check(condition: bool, text: str) -> None:
    """As TLLM_CHECK: assertions reach the client as an internal error."""
    if not condition:
        raise RequestRefused(f"[TensorRT-LLM][ERROR] Assertion failed: {text}")


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """max_model_len counts prompt and generated ids together."""

    vocab_size: int
    max_model_len: int
    gathers_generation_logits: bool
    excludes_input_in_output: bool
    normalizes_log_probs: bool


@dataclass(frozen=True, slots=True, eq=False)
class ReplayRequest:
    """seed is None when the text is greedy, end_id when none ends it; guide is a type and a text.

    Without has_log_probs the log-probs that are returned are zeros.
    """

    prompt_ids: NDArray[np.int32]
    max_new_tokens: int
    min_new_tokens: int
    end_id: int | None
    stop_words: tuple[Word, ...]
    bad_words: tuple[Word, ...]
    bias: NDArray[np.float32] | None
    guide: tuple[str, str] | None
    seed: int | None
    adapter: int
    brings_adapter: bool
    is_streaming: bool
    repeats_prompt: bool
    returns_log_probs: bool
    has_log_probs: bool
    returns_generation_logits: bool
    returns_perf_metrics: bool
    returns_num_input_tokens: bool
    returns_num_output_tokens: bool


def split_batch(tensors: Tensors) -> Iterator[Tensors]:
    """Each sample of a batch is a request of its own; input_lengths strips the padding of a batch alone."""
    prompts = tensors.get("input_ids")
    if prompts is None:
        raise RequestRefused("inputTokens or encoderInputFeatures tensor not provided")
    _check(prompts.ndim == 2, "Expected inputTokens tensors to have 2 dimensions")
    if len(prompts) == 1:
        yield tensors
        return
    lengths = tensors["input_lengths"].reshape(-1)
    for index in range(len(prompts)):
        sample = {name: tensor[index : index + 1] for name, tensor in tensors.items()}
        yield {**sample, "input_ids": prompts[index : index + 1, : lengths[index]]}


def read_request(tensors: Tensors, limits: ReplayLimits) -> ReplayRequest:
    """Raises RequestRefused, ExecutorFailure or ForwardFailure, by who would notice what is wrong."""
    prompt_ids = tensors["input_ids"].reshape(-1)
    wanted = _integer(tensors, "request_output_len", 0)
    _check_sampling(tensors)
    stop_words = _read_word_list(tensors.get("stop_words_list"))
    bad_words = _read_word_list(tensors.get("bad_words_list"))
    _check(len(prompt_ids) > 0, "!mInputTokenIds.empty()")
    _check(wanted > 0, "mMaxNewTokens > 0")
    end_id = _integer(tensors, "end_id", -1)
    returns_logits = _flag(tensors, "return_generation_logits")
    _check_with_engine(tensors, prompt_ids, end_id, returns_logits, limits)
    streaming = _flag(tensors, "streaming")
    excludes = _flag(tensors, "exclude_input_in_output", limits.excludes_input_in_output)
    max_new_tokens = min(wanted, limits.max_model_len - len(prompt_ids))
    return ReplayRequest(
        prompt_ids=prompt_ids,
        max_new_tokens=max_new_tokens,
        min_new_tokens=min(_integer(tensors, "min_tokens", 1), max_new_tokens),
        end_id=None if end_id == -1 else end_id,
        stop_words=stop_words,
        bad_words=bad_words,
        bias=_bias(tensors, limits.vocab_size),
        guide=_guide(tensors),
        seed=_seed(tensors),
        adapter=_integer(tensors, "lora_task_id", 0),
        brings_adapter="lora_weights" in tensors and "lora_config" in tensors,
        is_streaming=streaming,
        repeats_prompt=not streaming and not excludes,
        returns_log_probs=_flag(tensors, "return_log_probs"),
        has_log_probs=_has_log_probs(tensors, limits),
        returns_generation_logits=returns_logits,
        returns_perf_metrics=_flag(tensors, "return_perf_metrics"),
        returns_num_input_tokens=_flag(tensors, "return_num_input_tokens"),
        returns_num_output_tokens=_flag(tensors, "return_num_output_tokens"),
    )


def _check_sampling(tensors: Tensors) -> None:
    """SamplingConfig's constructor; the penalties but one may have any value."""
    beam_width = _integer(tensors, "beam_width", 1)
    _check(0 < beam_width <= 1024, "beamWidth > 0 && beamWidth <= kMaxBeamWidth")
    _check(_integer(tensors, "runtime_top_k", 0) >= 0, "topK.value() >= 0")
    # NaN is neither unset by the backend nor 1 at most.
    top_p = _number(tensors, "runtime_top_p", 0.0)
    _check(top_p <= 1, "topP.value() <= 1.f")
    _check(_number(tensors, "temperature", 1.0) >= 0, "temperature.value() >= 0.f")
    _check(_integer(tensors, "min_tokens", 1) >= 0, "minTokens.value() >= 0")
    _check(_number(tensors, "repetition_penalty", 1.0) > 0, "repetitionpenalty.value() > 0.f")
    # What follows is passed on by one place too early in 1.2.1 (TensorRT-LLM pull request 13633).
    _check(_number(tensors, "len_penalty", 0.0) >= 0, "promptIgnoreLength.value() >= 0")
    _check(_integer(tensors, "num_return_sequences", 1) >= 0, "noRepeatNgramSize.value() >= 0")


def _check_with_engine(
    tensors: Tensors, prompt_ids: NDArray[np.int32], end_id: int, returns_logits: bool, limits: ReplayLimits
) -> None:
    if not -1 <= end_id < limits.vocab_size:
        raise _failure(f"EndId ({end_id}) is not within acceptable range [-1, {limits.vocab_size}).")
    longest = limits.max_model_len - 1
    if len(prompt_ids) > longest:
        raise _failure(
            f"Prompt length ({len(prompt_ids)}) exceeds maximum input length ({longest})."
            " Set log level to info and check TRTGptModel logs for how maximum input length is set"
        )
    if _integer(tensors, "beam_width", 1) > 1:
        raise _failure("Requested beam width is larger than max_beam_width (1)")
    if _flag(tensors, "return_context_logits"):
        raise _failure("Return context logit need to build engine with gather_context_logits")
    if returns_logits and not limits.gathers_generation_logits:
        raise _failure(
            "To return generation logits, gather_generation_logits must be enabled in ExecutorConfig"
        )


def _failure(text: str) -> ExecutorFailure:
    return ExecutorFailure(f"Encountered an error when fetching new request: {text}")


def _seed(tensors: Tensors) -> int | None:
    """Greedy unless top_k or top_p asks for choice; then 0 stands for a seed that is absent."""
    top_k = _integer(tensors, "runtime_top_k", 0)
    is_greedy = top_k == 1 or (top_k == 0 and _number(tensors, "runtime_top_p", 0.0) <= 0)
    if is_greedy or _number(tensors, "temperature", 1.0) == 0:
        return None
    return _integer(tensors, "seed", 0)


def _has_log_probs(tensors: Tensors, limits: ReplayLimits) -> bool:
    """Normalized over the top k alone, the only choice has a probability of 1 (samplingTopKKernels.cu)."""
    has_sampling_input = "runtime_top_k" in tensors or "runtime_top_p" in tensors
    return has_sampling_input and not (
        limits.normalizes_log_probs and _integer(tensors, "runtime_top_k", 0) == 1
    )


def _guide(tensors: Tensors) -> tuple[str, str] | None:
    """A type that is not known is not seen."""
    kind, guide = (_text(tensors, f"guided_decoding_guide{end}") for end in ("_type", ""))
    return (kind, guide) if kind in _GUIDE_TYPES else None


def _bias(tensors: Tensors, vocab_size: int) -> NDArray[np.float32] | None:
    bias = tensors.get("embedding_bias")
    if bias is None or not bias.size:
        return None
    if bias.size != vocab_size:
        raise ForwardFailure(
            "Encountered an error in forwardAsync function: The embedding bias shape is not as expected."
            f" Expected last dimension to be same as vocab size: {vocab_size}."
        )
    return bias.reshape(-1)


def _read_word_list(tensor: NDArray[Any] | None) -> tuple[Word, ...]:
    """Row 0: the words' ids one after another; row 1: each word's exclusive end, padded with -1."""
    if tensor is None:
        return ()
    flat = tensor.reshape(-1).tolist()
    _check(len(flat) % 2 == 0, "Sparse list must not have odd length")
    ids, ends = flat[: len(flat) // 2], flat[len(flat) // 2 :]
    return _split(ids, _without_padding(ends))


def _without_padding(ends: list[int]) -> list[int]:
    if -1 not in ends:
        return ends
    first = ends.index(-1)
    _check(set(ends[first:]) == {-1}, "Sparse list must not have additional -1s")
    return ends[:first]


def _split(ids: Sequence[int], ends: Sequence[int]) -> tuple[Word, ...]:
    words = []
    start = 0
    for place, end in enumerate(ends):
        _check(end <= len(ids), "Sparse list must not have out-of-bound offsets")
        _check(not place or end > ends[place - 1], "Sparse list must not have non-increasing offsets")
        words.append(tuple(ids[start:end]))
        start = max(start, end)
    return tuple(word for word in words if word)


def _integer(tensors: Tensors, name: str, default: int) -> int:
    return int(_scalar(tensors, name, default))


def _number(tensors: Tensors, name: str, default: float) -> float:
    return float(_scalar(tensors, name, default))


def _flag(tensors: Tensors, name: str, default: bool = False) -> bool:
    return bool(_scalar(tensors, name, default))


def _text(tensors: Tensors, name: str) -> str:
    value = _scalar(tensors, name, b"")
    return bytes(value).decode("utf-8", "replace")


def _scalar(tensors: Tensors, name: str, default: Any) -> Any:
    array = tensors.get(name)
    if array is None:
        return default
    _check(array.size == 1, f"Invalid size for tensor {name}")
    return array.item()
