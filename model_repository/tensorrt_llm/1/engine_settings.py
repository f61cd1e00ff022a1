"""The parameters of config.pbtxt, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batching.kv_blocks import BLOCK_TOKENS
from contract.parameters import InvalidSettings, Parameters

# Beams, and adapters, which would need weights per sequence in the graph, which is compiled once.
UNSUPPORTED_INPUTS = frozenset(
    (
        *("beam_width", "num_return_sequences", "len_penalty", "return_context_logits"),
        *("lora_task_id", "lora_weights", "lora_config"),
    )
)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """engine: the OpenVINO model's folder; vocab_size: the tokenizer's; max_num_tokens: those of one step."""

    engine: Path
    tokenizer: Path
    vocab_size: int
    max_model_len: int
    max_num_seqs: int
    max_num_tokens: int
    max_kv_tokens: int
    max_draft_len: int


def read_settings(model_config: Mapping[str, Any], models: Path) -> EngineSettings:
    """Takes Triton's model configuration and the folder that holds the models."""
    parameters = Parameters(model_config)
    _check_unsupported_inputs(parameters)
    if parameters.count("tokens_per_block") != BLOCK_TOKENS:
        raise InvalidSettings(f"tokens_per_block: must be {BLOCK_TOKENS}, as OpenVINO's blocks are.")
    engine = _engine_folder(parameters.text("engine_dir"), models)
    settings = EngineSettings(
        engine=engine,
        tokenizer=engine.parent / "tokenizer" / "tokenizer.json",
        vocab_size=parameters.count("vocab_size"),
        max_model_len=parameters.count("max_model_len"),
        max_num_seqs=parameters.count("max_num_seqs"),
        max_num_tokens=parameters.count("max_num_tokens"),
        max_kv_tokens=parameters.count("max_tokens_in_paged_kv_cache"),
        max_draft_len=parameters.count("max_draft_len", least=0),
    )
    if settings.max_kv_tokens < settings.max_model_len:
        raise InvalidSettings(
            f"max_tokens_in_paged_kv_cache: must be max_model_len, {settings.max_model_len}, at least,"
            f" got {settings.max_kv_tokens}."
        )
    if settings.max_num_tokens < settings.max_num_seqs:
        raise InvalidSettings(f"max_num_tokens: must be max_num_seqs, {settings.max_num_seqs}, at least.")
    return settings


def _engine_folder(engine_dir: str, models: Path) -> Path:
    engine = (models / engine_dir / "engine").resolve()
    if not (engine / "openvino_model.xml").is_file():
        raise InvalidSettings(f"engine_dir: {engine} holds no engine; run `make build-engines`.")
    return engine


def _check_unsupported_inputs(parameters: Parameters) -> None:
    if set(parameters.text("unsupported_inputs").split(",")) != UNSUPPORTED_INPUTS:
        raise InvalidSettings(f"unsupported_inputs: must be {','.join(sorted(UNSUPPORTED_INPUTS))}.")
