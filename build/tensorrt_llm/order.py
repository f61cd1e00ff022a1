"""What is to be built: the recipe that the model, the precision and the user's settings come to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.checkpoint.shapes import LlamaShape
from build.errors import BuildError
from build.tensorrt_llm.lora import Adapter, read_adapters, with_adapters
from build.tensorrt_llm.recipe import Recipe, choose_recipe, find_recipe, overridden

_META_FP8 = "fbgemm_fp8"
_GATHERING = ("gather_context_logits", "gather_generation_logits", "gather_all_token_logits")


@dataclass(frozen=True)
class Order:
    """What the user asks for; None leaves the choice to the model. Settings are name=value,
    adapters name=folder, serving what overrides tensorrt_llm's config.pbtxt."""

    model: Path
    name: str | None
    served_model_name: str | None
    precision: str | None
    recipe: str | None
    settings: tuple[str, ...]
    adapters: tuple[str, ...]
    serving: Mapping[str, str]
    engines: Path


def settle(order: Order, config: Mapping[str, Any], shape: LlamaShape) -> tuple[Recipe, tuple[Adapter, ...]]:
    """The recipe with everything that the order changes of it, and the adapters."""
    adapters = read_adapters(order.adapters)
    recipe = overridden(_recipe(order, config, shape), order.settings)
    recipe = _with_wide_logits(_for_one_gpu(recipe, order.settings))
    return with_adapters(recipe, adapters, order.settings), adapters


def own_precision(config: Mapping[str, Any]) -> str:
    """The precision that a checkpoint is in: nothing is quantized unless it is asked for."""
    method = (config.get("quantization_config") or {}).get("quant_method")
    return "fp8-rowwise" if method == _META_FP8 else "bf16"


def _recipe(order: Order, config: Mapping[str, Any], shape: LlamaShape) -> Recipe:
    if order.recipe:
        recipe = find_recipe(order.recipe)
        if order.precision not in (None, recipe.precision):
            raise BuildError(
                f"RECIPE={order.recipe} is {recipe.precision}, PRECISION={order.precision} is not."
            )
        return recipe
    precision = order.precision or own_precision(config)
    chosen = choose_recipe(shape, precision)
    if chosen is None:
        raise BuildError(
            f"There is no recipe for {shape.num_layers} layers of {shape.hidden} in {precision}; see "
            "build/tensorrt_llm/recipes, or write one: RECIPE=file.toml."
        )
    return chosen


def _with_wide_logits(recipe: Recipe) -> Recipe:
    """Logits that leave the engine are FP32, as the served tensors; a quantized checkpoint may say FP16."""
    gathers = any(recipe.build.get(name) for name in _GATHERING)
    if not gathers or "logits_dtype" in recipe.build:
        return recipe
    return overridden(recipe, ["build.logits_dtype=float32"])


def _for_one_gpu(recipe: Recipe, settings: tuple[str, ...]) -> Recipe:
    """Without tensor parallelism there is no all-reduce to fuse with."""
    if recipe.tp_size > 1:
        return recipe
    given = {setting.partition("=")[0].rpartition(".")[2] for setting in settings}
    fused = [name for name in ("reduce_fusion", "user_buffer") if name in recipe.build and name not in given]
    return overridden(recipe, [f"{name}=disable" for name in fused])
