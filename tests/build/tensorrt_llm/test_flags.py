"""Flags are what upstream's argument parsers take."""

import pytest

from build.errors import BuildError
from build.tensorrt_llm.flags import arguments, checked, flags_of
from tests.build.tensorrt_llm.standin_program import upstream_parser

TOOLS = ("convert_checkpoint", "quantize", "build", "generate_xgrammar_tokenizer_info", "hf_lora_convert")


@pytest.mark.parametrize("tool", TOOLS)
def test_recorded_defaults_are_of_the_recorded_types(tool: str) -> None:
    for name, flag in flags_of(tool).items():
        values = [flag.default, *flag.choices]
        assert all(value is None or type(value).__name__ == flag.type for value in values), name


@pytest.mark.parametrize("tool", TOOLS)
def test_what_we_spell_an_argument_parser_reads_back(tool: str) -> None:
    given: dict[str, object] = {}
    for name, flag in flags_of(tool).items():
        sample = (
            flag.choices[0] if flag.choices else {"int": 3, "float": 0.5, "flag": True}.get(flag.type, "x y")
        )
        given[name] = [sample] if flag.many else sample
    words = arguments(tool, {name: checked(tool, name, value) for name, value in given.items()})
    parsed = vars(upstream_parser(tool).parse_args(words))
    assert parsed == {name.replace("-", "_"): value for name, value in given.items()}


@pytest.mark.parametrize(
    ("command", "name", "value", "typed"),
    [
        ("build", "max_batch_size", "64", 64),
        ("build", "gather_context_logits", "true", True),
        ("build", "gather_context_logits", "false", False),
        ("build", "lora_target_modules", "attn_q,attn_v", ["attn_q", "attn_v"]),
        ("convert_checkpoint", "smoothquant", "0.5", 0.5),
        ("convert_checkpoint", "embedding_sharding_dim", "1", 1),
    ],
)
def test_text_becomes_the_flags_type(command: str, name: str, value: str, typed: object) -> None:
    assert checked(command, name, value) == typed


@pytest.mark.parametrize(
    ("command", "name", "value", "told"),
    [
        ("build", "max_batch", 64, "build has no flag --max_batch"),
        ("build", "max_batch_size", "many", "--max_batch_size of build must be of type int, not 'many'"),
        ("build", "max_batch_size", True, "must be of type int"),
        ("build", "max_batch_size", [64], "must be of type int"),
        ("build", "max_batch_size", "1.5", "must be of type int"),
        ("build", "gemm_plugin", "fp4", "must be one of auto, float16"),
        ("build", "strip_plan", "yes", "--strip_plan of build must be true or false, not 'yes'"),
        ("build", "lora_target_modules", "q_proj", "must be one of attn_qkv"),
        ("build", "lora_target_modules", 7, "must be a list, not 7"),
        ("build", "lora_target_modules", [], "must be a list"),
        ("quantize", "kv_cache_dtype", "fp16", "must be one of int8, fp8"),
        ("convert_checkpoint", "embedding_sharding_dim", "2", "must be one of 0, 1"),
    ],
)
def test_what_upstream_would_refuse_is_refused(command: str, name: str, value: object, told: str) -> None:
    with pytest.raises(BuildError) as caught:
        checked(command, name, value)
    assert told in str(caught.value)


def test_required_flags_are_required() -> None:
    with pytest.raises(BuildError, match="hf_lora_convert needs --in-file"):
        arguments("hf_lora_convert", {"out-dir": "x"})
