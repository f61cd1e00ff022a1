"""The parameters of config.pbtxt, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batching.kv_blocks import BLOCK_TOKENS
from contract.unsupported_inputs import UNSUPPORTED_INPUTS
from decoder.weights import FILE_NAME


class InvalidSettings(ValueError):
    """Stops the load; its text is one sentence for whoever runs the server."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """engine is the folder of the weights; max_num_tokens counts those of one step."""

    engine: Path
    tokenizer: Path
    max_model_len: int
    max_num_seqs: int
    max_num_tokens: int
    max_kv_tokens: int
    max_draft_len: int


def read_settings(model_config: Mapping[str, Any], models: Path) -> EngineSettings:
    """Takes Triton's model configuration and the folder that holds the models."""
    parameters = {key: value["string_value"] for key, value in model_config["parameters"].items()}
    _check_unsupported_inputs(parameters)
    if _count(parameters, "tokens_per_block") != BLOCK_TOKENS:
        raise InvalidSettings(f"tokens_per_block: must be {BLOCK_TOKENS}, as cpu_decoder's blocks are.")
    engine = _engine_folder(_text(parameters, "engine_dir"), models)
    settings = EngineSettings(
        engine=engine,
        tokenizer=engine.parent / "tokenizer" / "tokenizer.json",
        max_model_len=_count(parameters, "max_model_len"),
        max_num_seqs=_count(parameters, "max_num_seqs"),
        max_num_tokens=_count(parameters, "max_num_tokens"),
        max_kv_tokens=_count(parameters, "max_tokens_in_paged_kv_cache"),
        max_draft_len=_count(parameters, "max_draft_len", least=0),
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
    if not (engine / FILE_NAME).is_file():
        raise InvalidSettings(f"engine_dir: {engine} holds no engine; run `make build-engines`.")
    return engine


def _check_unsupported_inputs(parameters: Mapping[str, str]) -> None:
    if set(_text(parameters, "unsupported_inputs").split(",")) != UNSUPPORTED_INPUTS:
        raise InvalidSettings(f"unsupported_inputs: must be {','.join(sorted(UNSUPPORTED_INPUTS))}.")


def _count(parameters: Mapping[str, str], name: str, least: int = 1) -> int:
    text = _text(parameters, name)
    if not text.isdecimal() or int(text) < least:
        raise InvalidSettings(f"{name}: must be a whole number, {least} at least, got {text!r}.")
    return int(text)


def _text(parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        raise InvalidSettings(f"{name}: is missing from the parameters of config.pbtxt.")
    return parameters[name]
