"""What is to be built: the recipe that an order comes to, and all that speaks against it on this machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.checkpoint.shapes import LlamaShape, find_shape
from build.checkpoint.source import Source, absent_model, find_source
from build.engine_folder import engine_folder
from build.errors import BuildError
from build.tensorrt_llm.checkpoint_files import checkpoint_problems, read_model_config
from build.tensorrt_llm.lora import Adapter, read_adapters, with_adapters
from build.tensorrt_llm.preflight import Machine, Plan, problems
from build.tensorrt_llm.recipe import Recipe, choose_recipe, find_recipe, overridden
from build.tensorrt_llm.toolchain import Toolchain, find_toolchain

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


@dataclass(frozen=True)
class Job:
    """An order that makes sense: what is built of what, and where; `work` has the unfinished steps."""

    source: Source
    shape: LlamaShape
    recipe: Recipe
    adapters: tuple[Adapter, ...]
    folder: Path
    work: Path


def find_job(order: Order) -> Job:
    """Raises BuildError with all that is wrong with the checkpoint, or with the first odd setting."""
    if not order.model.is_dir():
        raise absent_model(order.model)
    model = order.model.resolve()
    _raise(checkpoint_problems(model))
    source, shape = find_source(model), find_shape(str(model))
    recipe, adapters = settle(order, read_model_config(model), shape)
    folder = engine_folder(order.engines.resolve(), order.name or source.name)
    return Job(source, shape, recipe, adapters, folder, folder.parent / f".{folder.name}.build")


def require_machine(job: Job, machine: Machine, variables: Mapping[str, str]) -> Toolchain:
    """The tools to build with; raises BuildError with all that speaks against a build on this machine."""
    config = read_model_config(job.source.path)
    plan = Plan(job.source.path, config, job.shape, job.recipe, _free_disk(job, machine))
    found = problems(plan, machine)
    toolchain = None
    try:
        toolchain = find_toolchain(_reads(job), [job.folder.parent], job.work / "home", variables)
    except BuildError as error:
        found.append(str(error))
    _raise(found)
    if toolchain is None:
        raise BuildError("There is no TensorRT-LLM to build with.")
    return toolchain


def _raise(found: list[str]) -> None:
    if found:
        lines = "\n".join(f"  - {problem}" for problem in found)
        things = "one thing" if len(found) == 1 else f"{len(found)} things"
        raise BuildError(f"Nothing was built: {things} to put right first.\n{lines}")


def _free_disk(job: Job, machine: Machine) -> int:
    """What the disk has free, and what an unfinished build of this name has taken of it already."""
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    taken = sum(os.lstat(Path(root) / name).st_size for root, _, names in os.walk(job.work) for name in names)
    return machine.free_disk(job.folder.parent) + taken


def _reads(job: Job) -> list[Path]:
    """The folders that the tools read; a Hugging Face cache has links into a second one."""
    files = {path.resolve().parent for path in job.source.files}
    folders = {job.source.path, *files, *(adapter.path for adapter in job.adapters)}
    texts = Path(str(job.recipe.checkpoint.get("calib_dataset", "")))
    return sorted(folders | ({texts} if texts.is_absolute() and texts.is_dir() else set()))
