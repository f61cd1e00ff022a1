"""The rendered config.pbtxt declares what upstream declares, and this engine's values."""

from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.errors import BuildError
from build.repository import COMMITTED, CONFIG, read_config
from build.tensorrt_llm.config import TEMPLATE, TOKENIZER_INFO, render_config
from build.tensorrt_llm.engine import TensorRtLlmEngine
from tests.build.tensorrt_llm.upstream_config import (
    Tensor,
    declared_inputs,
    declared_outputs,
    recorded_parameters,
    recorded_tensors,
)

OWN = read_config(COMMITTED / "tensorrt_llm" / CONFIG)
ENGINE = TensorRtLlmEngine(
    version="1.2.1",
    tensor_parallel=8,
    pipeline_parallel=2,
    gpus_per_node=8,
    vocab_size=128256,
    logits_dtype="float32",
    max_batch_size=128,
    max_num_tokens=4096,
    max_seq_len=65536,
    max_beam_width=1,
    tokens_per_block=64,
    gathers_context_logits=False,
    gathers_generation_logits=False,
    has_paged_kv_cache=True,
    has_paged_context=True,
    has_lora=False,
)
# What fill_template.py is told to put in for a Llama; the logits' type is trtllm-build's default.
TYPES = {
    "${encoder_input_features_data_type}": "FP16",
    "${logits_datatype}": "FP32",
    "${prompt_embedding_table_data_type}": "FP16",
}
# Parameters that are this project's: the frontend reads them, NVIDIA's backend looks up none of them.
OWN_PARAMETERS = {"unsupported_inputs", "max_model_len", "max_num_seqs", "tokens_per_block"}
# Tensors that the embedded engine has and upstream has not.
OWN_INPUTS = {"min_p", "num_prompt_log_probs"}
OWN_OUTPUTS = {"prompt_log_probs", "prompt_top_log_prob_ids", "prompt_top_log_probs"}


def render(engine: TensorRtLlmEngine = ENGINE, has_guides: bool = True, **overrides: str) -> str:
    return render_config(engine, OWN, has_guides=has_guides, overrides=overrides)


def rendered(
    engine: TensorRtLlmEngine = ENGINE, has_guides: bool = True, **overrides: str
) -> model_config_pb2.ModelConfig:
    return text_format.Parse(render(engine, has_guides, **overrides), model_config_pb2.ModelConfig())


def parameter(config: model_config_pb2.ModelConfig, name: str) -> str:
    return str(config.parameters[name].string_value)


def with_types(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: replace(tensor, data_type=TYPES.get(tensor.data_type, tensor.data_type))
        for name, tensor in tensors.items()
    }


def without_layout(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: replace(tensor, is_ragged=False, is_scalar=False) for name, tensor in tensors.items()}


def test_inputs_are_upstreams_and_our_own() -> None:
    found = declared_inputs(rendered())
    upstream = with_types(recorded_tensors("input"))
    assert {name: found[name] for name in upstream} == upstream
    assert found.keys() - upstream.keys() == OWN_INPUTS


def test_outputs_are_upstreams_and_our_own() -> None:
    found = declared_outputs(rendered())
    upstream = with_types(recorded_tensors("output"))
    assert {name: found[name] for name in upstream} == upstream
    assert found.keys() - upstream.keys() == OWN_OUTPUTS


def test_parameters_are_upstreams_and_our_own() -> None:
    assert set(rendered().parameters) == recorded_parameters() | OWN_PARAMETERS


def test_the_embedded_engine_declares_a_part_of_upstreams_tensors_and_named_additions() -> None:
    """How it lays out a scalar in its own batch is its own affair; clients see names, types and dims."""
    for found, kind, own in (
        (declared_inputs(OWN), "input", OWN_INPUTS),
        (declared_outputs(OWN), "output", OWN_OUTPUTS),
    ):
        upstream = without_layout(with_types(recorded_tensors(kind)))
        assert found.keys() - upstream.keys() == own
        shared = without_layout({name: tensor for name, tensor in found.items() if name in upstream})
        assert shared == {name: upstream[name] for name in shared}


def test_no_placeholder_and_no_path_of_the_build_machine_is_left() -> None:
    text = render()
    assert "${" not in text
    assert str(Path.home()) not in text
    assert str(COMMITTED.parent) not in text


def test_values_of_the_engine() -> None:
    config = rendered()
    assert config.backend == "tensorrtllm"
    assert config.model_transaction_policy.decoupled
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 128
    # Triton refuses an ensemble whose batches are larger than those of its models.
    assert config.max_batch_size >= read_config(COMMITTED / "ensemble" / CONFIG).max_batch_size
    assert parameter(config, "gpt_model_path") == "engine"
    assert parameter(config, "gpt_model_type") == "inflight_fused_batching"
    assert parameter(config, "num_nodes") == "2"
    assert parameter(config, "max_model_len") == "65536"
    assert parameter(config, "max_num_seqs") == "128"
    assert parameter(config, "enable_chunked_context") == "true"
    assert parameter(config, "enable_kv_cache_reuse") == "true"
    assert parameter(config, "normalize_log_probs") == "false"


def test_guides_need_the_tokenizer_info() -> None:
    config = rendered(has_guides=True)
    assert parameter(config, "guided_decoding_backend") == "xgrammar"
    assert parameter(config, "xgrammar_tokenizer_info_path") == TOKENIZER_INFO
    assert "guided_decoding_guide" not in parameter(config, "unsupported_inputs")
    config = rendered(has_guides=False)
    assert parameter(config, "guided_decoding_backend") == ""
    assert parameter(config, "xgrammar_tokenizer_info_path") == ""
    assert "guided_decoding_guide_type" in parameter(config, "unsupported_inputs").split(",")


@pytest.mark.parametrize(
    ("flag", "inputs"),
    [
        ("gathers_context_logits", {"return_context_logits"}),
        ("gathers_generation_logits", {"return_generation_logits"}),
        ("has_lora", {"lora_task_id", "lora_weights", "lora_config"}),
    ],
)
def test_inputs_are_refused_unless_the_engine_was_built_for_them(flag: str, inputs: set[str]) -> None:
    refused = set(parameter(rendered(), "unsupported_inputs").split(","))
    able = set(parameter(rendered(replace(ENGINE, **{flag: True})), "unsupported_inputs").split(","))
    assert refused - able == inputs


def test_inputs_that_upstream_misreads_or_does_not_know_are_refused_by_name() -> None:
    config = rendered()
    refused = parameter(config, "unsupported_inputs").split(",")
    assert {"num_return_sequences", "len_penalty", "early_stopping", "beam_width", *OWN_INPUTS} <= set(
        refused
    )
    assert set(refused) <= {tensor.name for tensor in config.input}
    assert len(refused) == len(set(refused))


def test_numbers_can_be_overridden() -> None:
    config = rendered(
        kv_cache_free_gpu_mem_fraction="0.95", max_queue_size="7", enable_kv_cache_reuse="false"
    )
    assert parameter(config, "kv_cache_free_gpu_mem_fraction") == "0.95"
    assert parameter(config, "enable_kv_cache_reuse") == "false"
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 7


def test_a_value_may_hold_any_text() -> None:
    value = 'a "quoted" \\1 path'
    assert parameter(rendered(executor_worker_path=value), "executor_worker_path") == value


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"kv_cache_fraction": "0.9"}, "kv_cache_fraction can't be set; .*kv_cache_free_gpu_mem_fraction"),
        ({"gpt_model_path": "/elsewhere"}, "gpt_model_path can't be set"),
        ({"max_queue_size": "many"}, "max_queue_size must be a whole number, not 'many'"),
    ],
)
def test_what_can_not_be_overridden_is_named(overrides: dict[str, str], complaint: str) -> None:
    with pytest.raises(BuildError, match=complaint):
        render(**overrides)


@pytest.mark.parametrize(
    ("engine", "complaint"),
    [
        (replace(ENGINE, has_paged_kv_cache=False), "--kv_cache_type paged"),
        (replace(ENGINE, has_paged_context=False), "--use_paged_context_fmha enable"),
        (
            replace(ENGINE, gathers_generation_logits=True, logits_dtype="float16"),
            "gathers logits as float16; build it with --logits_dtype float32",
        ),
    ],
)
def test_an_engine_that_can_not_be_served_as_configured_is_an_error(
    engine: TensorRtLlmEngine, complaint: str
) -> None:
    with pytest.raises(BuildError, match=complaint):
        render(engine)


def test_every_parameter_of_the_template_stays_beside_its_comment() -> None:
    """Values are set in the commented text, not by writing the message anew."""
    comments = [line for line in TEMPLATE.read_text().splitlines() if line.lstrip().startswith("#")]
    assert all(comment in render() for comment in comments)


def test_reused_blocks_can_be_counted_as_tokens() -> None:
    assert parameter(rendered(), "tokens_per_block") == "64"


def test_the_ensemble_maps_all_that_comes_unasked() -> None:
    """With return_perf_metrics upstream sends all ten, requested or not (fillTritonResponse), and Triton
    fails a response with an output that "does not map to any ensemble tensors"."""
    ensemble = read_config(COMMITTED / "ensemble" / CONFIG)
    mapped = ensemble.ensemble_scheduling.step[1].output_map
    answered_when_asked = {"context_logits", "batch_index", "context_phase_params"}
    assert recorded_tensors("output").keys() - answered_when_asked <= mapped.keys()
