"""The contract of the two replay engines: their options, and what only the one in Python can do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from build.errors import Failure

# The options of both engines.
_NATIVE_OPTIONS = (
    "tokens_per_second",
    "jitter",
    "tokens_per_response",
    "answer_length",
    "max_num_seqs",
    "tokens_per_block",
)
# Inputs that the engine in Python honours and the native one refuses (native/replay/request.c).
LACKING_INPUTS = (
    "embedding_bias",
    "bad_words_list",
    "guided_decoding_guide_type",
    "guided_decoding_guide",
    "return_log_probs",
)


@dataclass(frozen=True)
class ReplayOptions:
    """Parameters of the model, as config.pbtxt spells them; what they mean is said in docs/replay.md."""

    tokens_per_second: str = "0"
    jitter: str = "0"
    tokens_per_response: str = "1"
    answer_length: str = "0"
    max_num_seqs: str = "4096"
    tokens_per_block: str = "32"
    gather_generation_logits: str = "false"
    lora_adapters: str = ""
    takes_directives: str = "false"
    fault: str = ""
    fault_after: str = "0"
    load_delay_s: str = "0"
    sequence_count_file: str = ""


def read_options(variables: Mapping[str, str]) -> ReplayOptions:
    """The pace by TOKENS_PER_SECOND, JITTER and TOKENS_PER_RESPONSE; raises Failure for a bad value."""
    return ReplayOptions(
        tokens_per_second=_number(variables, "TOKENS_PER_SECOND", "0", most=1e6),
        jitter=_number(variables, "JITTER", "0", most=1.0),
        tokens_per_response=_whole_number(variables, "TOKENS_PER_RESPONSE", "1", least=1),
        answer_length=_whole_number(variables, "ANSWER_LENGTH", "0", least=0),
        sequence_count_file=variables.get("SEQUENCE_COUNT_FILE", ""),
    )


def require_native(options: ReplayOptions) -> None:
    """Raises Failure for an option that the native engine has not."""
    for field in fields(options):
        if field.name not in _NATIVE_OPTIONS and getattr(options, field.name) != field.default:
            raise Failure(f"{field.name.upper()} is of ENGINE=replay alone")


def _number(variables: Mapping[str, str], name: str, default: str, most: float) -> str:
    text = variables.get(name) or default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise Failure(f"{name} must be a number from 0 to {most:g}, not {text!r}")
    return text


def _whole_number(variables: Mapping[str, str], name: str, default: str, least: int) -> str:
    text = variables.get(name) or default
    if not text.isdecimal() or int(text) < least:
        raise Failure(f"{name} must be a whole number, {least} at least, not {text!r}")
    return text
