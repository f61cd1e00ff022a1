"""The parameters of config.pbtxt, checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_api_capabilities import ADAPTER_INPUT, unsupported_inputs

_KV_CACHE_TYPES = ("auto", "fp8")


class InvalidSettings(ValueError):
    """Stops the load; its text is one sentence for whoever runs the server."""


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
    parameters = {key: value.get("string_value", "") for key, value in model_config["parameters"].items()}
    engine = (models / _text(parameters, "engine_dir")).resolve()
    checkpoint = (engine / _text(parameters, "checkpoint_dir")).resolve()
    adapters = _read_adapters(engine, _text(parameters, "lora_dir"))
    _check_unsupported_inputs(parameters, bool(adapters))
    return LlmApiSettings(
        checkpoint=checkpoint,
        tokenizer=engine / "tokenizer",
        adapters=adapters,
        max_adapter_rank=max((_rank(folder) for folder in adapters.values()), default=0),
        vocab_size=_read_vocab_size(checkpoint),
        max_model_len=_count(parameters, "max_model_len"),
        max_num_seqs=_count(parameters, "max_num_seqs"),
        max_num_tokens=_count(parameters, "max_num_tokens"),
        tensor_parallel=_count(parameters, "tensor_parallel"),
        pipeline_parallel=_count(parameters, "pipeline_parallel"),
        tokens_per_block=_count(parameters, "tokens_per_block"),
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


def _check_unsupported_inputs(parameters: Mapping[str, str], has_adapters: bool) -> None:
    expected = unsupported_inputs(has_adapters)
    if set(_text(parameters, "unsupported_inputs").split(",")) != expected:
        reason = "" if has_adapters else f" ({ADAPTER_INPUT} without adapters)"
        raise InvalidSettings(f"unsupported_inputs: must be {','.join(sorted(expected))}{reason}.")


def _one_of(parameters: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = _text(parameters, name)
    if value not in allowed:
        raise InvalidSettings(f"{name}: must be one of {', '.join(allowed)}, got {value!r}.")
    return value


def _fraction(parameters: Mapping[str, str], name: str) -> float:
    text = _text(parameters, name)
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise InvalidSettings(f"{name}: must be between 0 and 1, got {text!r}.")
    return value


def _count(parameters: Mapping[str, str], name: str) -> int:
    text = _text(parameters, name)
    if not text.isdecimal() or int(text) < 1:
        raise InvalidSettings(f"{name}: must be a whole number, 1 at least, got {text!r}.")
    return int(text)


def _text(parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        raise InvalidSettings(f"{name}: is missing from the parameters of config.pbtxt.")
    return parameters[name]
