"""The parameters of config.pbtxt, checked once when the model loads."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.parameters import InvalidSettings, Parameters
from replay_faults import Fault, read_fault
from replay_sequence import Pace


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Lengths are in tokens. answer_length 0: the request decides; max_queue_size 0: any number may wait."""

    tokenizer: Path
    max_model_len: int
    max_num_seqs: int
    max_queue_size: int
    pace: Pace
    answer_length: int
    gathers_generation_logits: bool
    excludes_input_in_output: bool
    normalizes_log_probs: bool
    cancellation_check_period_s: float
    tokens_per_block: int
    lora_task_ids: frozenset[int]
    takes_directives: bool
    fault: Fault | None
    load_delay_s: float
    sequence_count_file: str
    """Empty: none."""


def read_settings(model_config: Mapping[str, Any], models: Path) -> ReplaySettings:
    """Takes Triton's model configuration and the folder that holds the models."""
    parameters = Parameters(model_config)
    tokenizer = (models / parameters.text("engine_dir")).resolve() / "tokenizer" / "tokenizer.json"
    if not tokenizer.is_file():
        raise InvalidSettings(f"engine_dir: {tokenizer} is missing.")
    return ReplaySettings(
        tokenizer=tokenizer,
        max_model_len=parameters.count("max_model_len", least=2),
        max_num_seqs=parameters.count("max_num_seqs"),
        max_queue_size=_max_queue_size(model_config),
        pace=_pace(parameters),
        answer_length=parameters.count("answer_length", least=0),
        gathers_generation_logits=_flag(parameters, "gather_generation_logits"),
        excludes_input_in_output=_flag(parameters, "exclude_input_in_output"),
        normalizes_log_probs=_flag(parameters, "normalize_log_probs"),
        cancellation_check_period_s=parameters.count("cancellation_check_period_ms") / 1000,
        tokens_per_block=parameters.count("tokens_per_block"),
        lora_task_ids=_ids(parameters, "lora_task_ids"),
        takes_directives=_flag(parameters, "takes_directives"),
        fault=_fault(parameters),
        load_delay_s=_number(parameters, "load_delay_s", math.inf),
        sequence_count_file=parameters.text("sequence_count_file"),
    )


def _max_queue_size(model_config: Mapping[str, Any]) -> int:
    """Triton's own queue hands everything on at once; the executor keeps to the same bound."""
    policy = model_config.get("dynamic_batching", {}).get("default_queue_policy", {})
    return int(policy.get("max_queue_size", 0))


def _pace(parameters: Parameters) -> Pace:
    return Pace(
        _number(parameters, "tokens_per_second", 1e6),
        _number(parameters, "jitter", 1.0),
        parameters.count("tokens_per_response"),
    )


def _fault(parameters: Parameters) -> Fault | None:
    try:
        return read_fault(parameters.text("fault"), parameters.count("fault_after", least=0))
    except ValueError as error:
        raise InvalidSettings(f"fault: {error}.") from error


def _number(parameters: Parameters, name: str, most: float) -> float:
    text = parameters.text(name)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most or math.isinf(value):
        raise InvalidSettings(f"{name}: must be a number from 0 to {most:g}, got {text!r}.")
    return value


def _flag(parameters: Parameters, name: str) -> bool:
    text = parameters.text(name)
    if text not in ("true", "false"):
        raise InvalidSettings(f"{name}: must be true or false, got {text!r}.")
    return text == "true"


def _ids(parameters: Parameters, name: str) -> frozenset[int]:
    texts = [text for text in parameters.text(name).split(",") if text]
    if not all(text.isdecimal() for text in texts):
        raise InvalidSettings(f"{name}: must be whole numbers with commas between them.")
    return frozenset(map(int, texts))
