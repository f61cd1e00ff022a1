"""config.pbtxt of a TensorRT-LLM engine: the commented template with this engine's values in their places."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.engine_folder import ENGINE, TOKENIZER
from build.errors import BuildError
from build.tensorrt_llm.engine import TensorRtLlmEngine

TEMPLATE = Path(__file__).with_name("config.pbtxt")
BACKEND = "tensorrtllm"
# Within the engine folder, in which tritonserver runs.
TOKENIZER_INFO = f"{TOKENIZER}/xgrammar_tokenizer_info.json"
ADAPTERS = "lora"

# Declared by upstream and misread by 1.2.1: it passes 17 arguments by position to a constructor of 20, so
# len_penalty sets a length of ignored prompt, early_stopping (one byte, read as four) the length penalty and
# num_return_sequences a ban on repeated n-grams (TensorRT-LLM pull request 13633). The last is ignored.
MISREAD_INPUTS = ("len_penalty", "early_stopping", "num_return_sequences", "runtime_top_p_min")
GUIDE_INPUTS = ("guided_decoding_guide_type", "guided_decoding_guide")
ADAPTER_INPUTS = ("lora_task_id", "lora_weights", "lora_config")

_OVERRIDABLE_FIELDS = ("max_queue_size", "max_queue_delay_microseconds")
_DERIVED = {
    "decoding_mode",
    "gpt_model_path",
    "gpt_model_type",
    "guided_decoding_backend",
    "lora_prefetch_dir",
    "max_beam_width",
    "max_model_len",
    "max_num_seqs",
    "num_nodes",
    "tokens_per_block",
    "unsupported_inputs",
    "xgrammar_tokenizer_info_path",
}


def render_config(
    engine: TensorRtLlmEngine,
    own: model_config_pb2.ModelConfig,
    *,
    has_guides: bool,
    overrides: Mapping[str, str],
) -> str:
    """The config.pbtxt; `own` is this project's own engine, whose additional tensors are declared here too.

    has_guides: whether TOKENIZER_INFO is there. overrides: parameters and queue settings by their names.
    """
    _check(engine)
    template = TEMPLATE.read_text(encoding="utf-8")
    declared = text_format.Parse(template, model_config_pb2.ModelConfig())
    additional = {tensor.name for tensor in own.input} - {tensor.name for tensor in declared.input}
    text = _set_fields(template, {"max_queue_size": str(engine.max_batch_size)})
    text = _set_parameters(text, _parameters(engine, additional, has_guides))
    text = _override(text, declared, overrides)
    return text + _additional_tensors(declared, own)


def unsupported_inputs(
    engine: TensorRtLlmEngine, additional: Iterable[str], *, has_guides: bool
) -> list[str]:
    """Inputs that this engine refuses, misreads or does not know."""
    refused = [*MISREAD_INPUTS, "beam_width", *sorted(additional)]
    if not engine.gathers_context_logits:
        refused.append("return_context_logits")
    if not engine.gathers_generation_logits:
        refused.append("return_generation_logits")
    if not engine.has_lora:
        refused += ADAPTER_INPUTS
    if not has_guides:
        refused += GUIDE_INPUTS
    return refused


def _check(engine: TensorRtLlmEngine) -> None:
    """What the backend would fail on, or serve wrongly, at the first request."""
    if not engine.has_paged_kv_cache:
        raise BuildError("The engine has no paged KV cache; build it with --kv_cache_type paged.")
    if not engine.has_paged_context:
        raise BuildError(
            "Reuse of the KV cache and chunked context need an engine that is built with "
            "--use_paged_context_fmha enable."
        )
    gathers = engine.gathers_context_logits or engine.gathers_generation_logits
    if gathers and engine.logits_dtype != "float32":
        raise BuildError(
            f"The engine gathers logits as {engine.logits_dtype}; build it with --logits_dtype float32."
        )


def _parameters(engine: TensorRtLlmEngine, additional: Iterable[str], has_guides: bool) -> dict[str, str]:
    return {
        "gpt_model_path": ENGINE,
        "num_nodes": str(engine.num_nodes),
        "guided_decoding_backend": "xgrammar" if has_guides else "",
        "xgrammar_tokenizer_info_path": TOKENIZER_INFO if has_guides else "",
        "lora_prefetch_dir": ADAPTERS if engine.has_lora else "",
        "unsupported_inputs": ",".join(unsupported_inputs(engine, additional, has_guides=has_guides)),
        "max_model_len": str(engine.max_seq_len),
        "max_num_seqs": str(engine.max_batch_size),
        "tokens_per_block": str(engine.tokens_per_block),
    }


def _override(text: str, declared: model_config_pb2.ModelConfig, overrides: Mapping[str, str]) -> str:
    allowed = {*_OVERRIDABLE_FIELDS, *declared.parameters} - _DERIVED
    for name in overrides:
        if name not in allowed:
            raise BuildError(
                f"{name} can't be set; of the served engine one of {', '.join(sorted(allowed))} can."
            )
    fields = {name: value for name, value in overrides.items() if name in _OVERRIDABLE_FIELDS}
    for name, value in fields.items():
        if not value.isdecimal():
            raise BuildError(f"{name} must be a whole number, not {value!r}.")
    parameters = {name: value for name, value in overrides.items() if name not in fields}
    return _set_parameters(_set_fields(text, fields), parameters)


def _set_fields(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = re.sub(rf"\b{name}: \d+", f"{name}: {value}", text)
    return text


def _set_parameters(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        line = re.compile(rf'(\{{ key: "{name}"\s+value: \{{ string_value: )"[^"]*"')
        # JSON's escapes are among those of protobuf's text format.
        text = line.sub(lambda match, value=value: match[1] + json.dumps(value), text)  # type: ignore[misc]
    return text


def _additional_tensors(declared: model_config_pb2.ModelConfig, own: model_config_pb2.ModelConfig) -> str:
    """The tensors that this project's engine has beyond upstream's: the ensemble names them."""
    inputs, outputs = ({tensor.name for tensor in tensors} for tensors in (declared.input, declared.output))
    more = model_config_pb2.ModelConfig(
        input=[tensor for tensor in own.input if tensor.name not in inputs],
        output=[tensor for tensor in own.output if tensor.name not in outputs],
    )
    if not more.ByteSize():
        return ""
    title = "\n# Beyond upstream, for the ensemble, which serves other engines too: see unsupported_inputs.\n"
    return title + str(text_format.MessageToString(more))
