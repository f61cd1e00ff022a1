"""The parameters of config.pbtxt, checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.parameters import InvalidSettings, Parameters

ADAPTER_INPUT = "lora_task_id"
_UNSUPPORTED_INPUTS = frozenset(
    (
        *("beam_width", "num_return_sequences", "len_penalty", "return_context_logits"),
        # The sampler that honours seeds and penalties in 1.2.1 tells the chosen id's log-prob alone.
        *("return_generation_logits", "num_prompt_log_probs"),
        # Adapters are folders here; weights as tensors are the C++ backend's.
        *("lora_weights", "lora_config"),
    )
)
_KV_CACHE_TYPES = ("auto", "fp8")


def unsupported_inputs(has_adapters: bool) -> frozenset[str]:
    """Without adapters, which are declared to the engine when it loads, their choice is no input either."""
    return _UNSUPPORTED_INPUTS if has_adapters else _UNSUPPORTED_INPUTS | {ADAPTER_INPUT}


@dataclass(frozen=True, slots=True)
class LlmApiSettings:
    """checkpoint is a Hugging Face folder; adapters are LoRA folders of the same form, by task id.

    max_adapter_rank is the largest rank among them.
    max_num_seqs and max_num_tokens count those of one step; one rank is one GPU of this node.
    """

    checkpoint: Path
    tokenizer: Path
    adapters: Mapping[int, Path]
    max_adapter_rank: int
    vocab_size: int
    max_model_len: int
    max_num_seqs: int
    max_num_tokens: int
    tensor_parallel: int
    pipeline_parallel: int
    tokens_per_block: int
    kv_cache_fraction: float
    kv_cache_type: str


def read_settings(model_config: Mapping[str, Any], models: Path) -> LlmApiSettings:
    """Takes Triton's model configuration and the folder that holds the models."""
    parameters = Parameters(model_config)
    engine = (models / parameters.text("engine_dir")).resolve()
    checkpoint = (engine / parameters.text("checkpoint_dir")).resolve()
    adapters = _read_adapters(engine, parameters.text("lora_dir"))
    _check_unsupported_inputs(parameters, bool(adapters))
    return LlmApiSettings(
        checkpoint=checkpoint,
        tokenizer=engine / "tokenizer",
        adapters=adapters,
        max_adapter_rank=max((_rank(folder) for folder in adapters.values()), default=0),
        vocab_size=_read_vocab_size(checkpoint),
        max_model_len=parameters.count("max_model_len"),
        max_num_seqs=parameters.count("max_num_seqs"),
        max_num_tokens=parameters.count("max_num_tokens"),
        tensor_parallel=parameters.count("tensor_parallel"),
        pipeline_parallel=parameters.count("pipeline_parallel"),
        tokens_per_block=parameters.count("tokens_per_block"),
        kv_cache_fraction=_fraction(parameters, "kv_cache_free_gpu_mem_fraction"),
        kv_cache_type=_one_of(parameters, "kv_cache_dtype", _KV_CACHE_TYPES),
    )


def _read_vocab_size(checkpoint: Path) -> int:
    try:
        return int(json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidSettings(f"checkpoint_dir: {checkpoint} holds no Hugging Face model: {error}") from error


def _read_adapters(engine: Path, lora_dir: str) -> Mapping[int, Path]:
    """The folders below lora_dir, whose names are the task ids."""
    if not lora_dir:
        return {}
    folders = sorted((engine / lora_dir).glob("*/adapter_config.json"))
    if not folders or not all(path.parent.name.isdecimal() for path in folders):
        raise InvalidSettings(
            f"lora_dir: {engine / lora_dir} must hold adapters in folders named by task id."
        )
    return {int(path.parent.name): path.parent for path in folders}


def _rank(adapter: Path) -> int:
    path = adapter / "adapter_config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["r"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidSettings(f"lora_dir: {path} names no rank r: {error}") from error


def _check_unsupported_inputs(parameters: Parameters, has_adapters: bool) -> None:
    expected = unsupported_inputs(has_adapters)
    if set(parameters.text("unsupported_inputs").split(",")) != expected:
        reason = "" if has_adapters else f" ({ADAPTER_INPUT} without adapters)"
        raise InvalidSettings(f"unsupported_inputs: must be {','.join(sorted(expected))}{reason}.")


def _one_of(parameters: Parameters, name: str, allowed: tuple[str, ...]) -> str:
    value = parameters.text(name)
    if value not in allowed:
        raise InvalidSettings(f"{name}: must be one of {', '.join(allowed)}, got {value!r}.")
    return value


def _fraction(parameters: Parameters, name: str) -> float:
    text = parameters.text(name)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise InvalidSettings(f"{name}: must be between 0 and 1, got {text!r}.")
    return value
