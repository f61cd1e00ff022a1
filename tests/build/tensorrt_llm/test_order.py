"""What an order comes to: the recipe that fits the checkpoint, and what follows from the user's changes."""

from pathlib import Path
from typing import Any

import pytest

from build.checkpoint.shapes import LLAMA_3_1
from build.errors import BuildError
from build.tensorrt_llm.order import Order, own_precision, settle
from build.tensorrt_llm.recipe import Recipe
from tests.build.tensorrt_llm.llama_folder import llama_config


def settled(model: str = "8b", config: dict[str, Any] | None = None, **wishes: Any) -> Recipe:
    plain: dict[str, Any] = {
        "model": Path("model"),
        "name": None,
        "served_model_name": None,
        "precision": None,
        "recipe": None,
        "settings": (),
        "adapters": (),
        "serving": {},
        "engines": Path("engines"),
    }
    recipe, _ = settle(Order(**{**plain, **wishes}), config or llama_config(), LLAMA_3_1[model])
    return recipe


@pytest.mark.parametrize(
    ("method", "expected"), [(None, "bf16"), ("fbgemm_fp8", "fp8-rowwise"), ("awq", "bf16")]
)
def test_nothing_is_quantized_unasked(method: str | None, expected: str) -> None:
    config = llama_config(**({"quantization_config": {"quant_method": method}} if method else {}))
    assert own_precision(config) == expected


@pytest.mark.parametrize(
    ("model", "wishes", "name"),
    [
        ("8b", {}, "llama-3.1-8b-bf16"),
        ("70b", {"precision": "fp8"}, "llama-3.1-70b-fp8"),
        ("8b", {"recipe": "llama-3.1-8b-int4-awq"}, "llama-3.1-8b-int4-awq"),
        ("8b", {"recipe": "llama-3.1-8b-fp8", "precision": "fp8"}, "llama-3.1-8b-fp8"),
    ],
)
def test_recipe_is_found(model: str, wishes: dict[str, str], name: str) -> None:
    assert settled(model, **wishes).name == name


@pytest.mark.parametrize(
    ("model", "wishes", "told"),
    [
        ("405b", {"precision": "int4-awq"}, "no recipe for 126 layers of 16384 in int4-awq"),
        ("8b", {"recipe": "llama-3.1-8b-fp8", "precision": "bf16"}, "is fp8, PRECISION=bf16 is not"),
    ],
)
def test_what_can_not_be_is_told(model: str, wishes: dict[str, str], told: str) -> None:
    with pytest.raises(BuildError, match=told):
        settled(model, **wishes)


def test_one_gpu_has_nothing_to_fuse_with() -> None:
    alone = settled("70b", precision="fp8", settings=("tp_size=1",))
    assert (alone.build["reduce_fusion"], alone.build["user_buffer"]) == ("disable", "disable")
    two = settled("70b", precision="fp8", settings=("tp_size=2",))
    assert (two.build["reduce_fusion"], two.build["user_buffer"]) == ("enable", "enable")
    told = settled("70b", precision="fp8", settings=("tp_size=1", "build.reduce_fusion=enable"))
    assert (told.build["reduce_fusion"], told.build["user_buffer"]) == ("enable", "disable")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), None),
        (("gather_generation_logits=true",), "float32"),
        (("gather_context_logits=true",), "float32"),
        (("gather_generation_logits=false",), None),
        (("gather_generation_logits=true", "logits_dtype=float16"), "float16"),
    ],
)
def test_logits_that_leave_the_engine_are_wide(settings: tuple[str, ...], expected: str | None) -> None:
    assert settled(precision="fp8", settings=settings).build.get("logits_dtype") == expected
