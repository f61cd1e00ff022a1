"""Brings order, checkpoint, machine and tools together; says at once all that is wrong with them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from build.checkpoint.shapes import LlamaShape, find_shape
from build.checkpoint.source import Source, absent_model, find_source
from build.engine_folder import engine_folder
from build.errors import BuildError
from build.tensorrt_llm.checkpoint_files import checkpoint_problems, read_model_config
from build.tensorrt_llm.lora import Adapter
from build.tensorrt_llm.machine import Machine
from build.tensorrt_llm.order import Order, settle
from build.tensorrt_llm.preflight import Plan, problems
from build.tensorrt_llm.recipe import Recipe
from build.tensorrt_llm.toolchain import Toolchain, find_toolchain


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
