"""Finds what would stop a build hours later: model, recipe and machine are compared before any work."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from build.checkpoint.shapes import LlamaShape
from build.gpus import Gpus, detected_gpus, driver_problem
from build.plan.gpu_memory import EngineSize, gpu_memory, weight_bytes
from build.plan.precisions import PRECISIONS
from build.tensorrt_llm.checkpoint_files import source_bytes
from build.tensorrt_llm.recipe import Recipe, is_for

_MEMORY = Path("/proc/meminfo")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Machine:
    """memory_bytes is the host memory that can be had at the moment; free_disk is told of a folder's disk."""

    gpus: Gpus | None
    memory_bytes: int
    free_disk: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free


def this_machine() -> Machine:
    """Raises BuildError when nvidia-smi's GPUs are not all of one kind."""
    return Machine(detected_gpus(), available_memory())


def available_memory(memory: Path = _MEMORY, limit: Path = _CGROUP_LIMIT) -> int:
    """Bytes that the kernel could give out, or this container's limit where that is less."""
    lines = dict(line.split(":", 1) for line in memory.read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(available, int(text)) if text.isdecimal() else available


_HINTS = {"fp8": "PRECISION=bf16 or int4-awq", "fp8-rowwise": "PRECISION=fp8 or bf16"}

# With room for less than this, the answer is more GPUs, not a shorter max_seq_len.
_LEAST_TOKENS = 4096
# Upstream's README: calibrating 70B (141 GB in BF16) takes more than 210 GB of GPU memory.
_CALIBRATION_FACTOR = 1.5
# A compiled shard is in memory as weights and as plan.
_ENGINE_COPIES = 2
_DISK_SLACK = 1.05


@dataclass(frozen=True)
class Plan:
    """What is to be built of what, and where."""

    model: Path
    config: Mapping[str, Any]
    shape: LlamaShape
    recipe: Recipe
    free_disk_bytes: int


def problems(plan: Plan, machine: Machine) -> list[str]:
    """Everything that speaks against the build, each with what to do; empty when nothing does."""
    return [*_model_problems(plan), *_parallel_problems(plan), *_machine_problems(plan, machine)]


def _model_problems(plan: Plan) -> Iterator[str]:
    config, shape, recipe = plan.config, plan.shape, plan.recipe
    if config.get("architectures") != ["LlamaForCausalLM"]:
        yield f"config.json's architectures are {config.get('architectures')}, not ['LlamaForCausalLM']."
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if rope.get("rope_type") != "llama3":
        yield 'config.json lacks "rope_scaling": {"rope_type": "llama3", ...}; download Llama 3.1\'s again.'
    if not is_for(recipe, shape):
        yield (
            f"The recipe {recipe.name} is for {recipe.num_hidden_layers} layers of {recipe.hidden_size}, the "
            f"model has {shape.num_layers} of {shape.hidden}; leave RECIPE out or give another."
        )
    method = (config.get("quantization_config") or {}).get("quant_method")
    if method and (method, recipe.precision) != ("fbgemm_fp8", "fp8-rowwise"):
        yield (
            f"The checkpoint is quantized already ({method}), and {recipe.name} needs the 16-bit one; Meta's "
            "FP8 checkpoint goes with PRECISION=fp8-rowwise."
        )
    texts = Path(str(recipe.checkpoint.get("calib_dataset", "")))
    if texts.is_absolute() and not texts.is_dir():
        yield f"There is no folder {texts} of calibration texts (calib_dataset)."
    if recipe.max_seq_len > shape.context:
        yield f"max_seq_len is {recipe.max_seq_len}, the model ends at MAX_SEQ_LEN={shape.context}."


def _parallel_problems(plan: Plan) -> Iterator[str]:
    shape, recipe = plan.shape, plan.recipe
    if shape.num_kv_heads == 16 and not recipe.checkpoint.get("remove_duplicated_kv_heads"):
        yield (
            "The checkpoint has its KV heads twice, as 405B had before 9 August 2024; download it again, or "
            'add SET="remove_duplicated_kv_heads=true".'
        )
    elif shape.num_kv_heads % recipe.tp_size:
        yield f"TP={recipe.tp_size} does not divide the {shape.num_kv_heads} KV heads; 1, 2, 4 and 8 do."
    if recipe.tp_size > recipe.gpus_per_node:
        yield f"TP={recipe.tp_size} leaves the node of {recipe.gpus_per_node} GPUs; more nodes are for PP."
    if shape.num_layers < recipe.pp_size:
        yield f"PP={recipe.pp_size} is more than the model's {shape.num_layers} layers."
    if recipe.world_size > recipe.gpus_per_node and recipe.world_size % recipe.gpus_per_node:
        yield (
            f"TP x PP = {recipe.world_size} does not fill nodes of {recipe.gpus_per_node} GPUs; "
            'see SET="gpus_per_node=...".'
        )


def _machine_problems(plan: Plan, machine: Machine) -> Iterator[str]:
    if machine.gpus:
        if problem := driver_problem(machine.gpus):
            yield problem
        yield from _gpu_problems(plan.recipe, machine.gpus)
        yield from _gpu_memory_problems(plan, machine.gpus)
    else:
        yield "nvidia-smi lists no GPU: build on the kind of machine that will serve."
    checkpoint, engine = host_bytes(plan, machine.gpus.per_node if machine.gpus else 0)
    if machine.memory_bytes < max(checkpoint, engine):
        fewer = 'compile fewer ranks at a time: SET="build.workers=1"'
        way_out = fewer if checkpoint <= machine.memory_bytes else "use a machine with more"
        yield (
            f"{_gb(machine.memory_bytes)} of host memory are available, about "
            f"{_gb(max(checkpoint, engine))} are needed; {way_out}."
        )
    needed = disk_bytes(plan)
    if plan.free_disk_bytes < needed:
        yield (
            f"{_gb(plan.free_disk_bytes)} of disk are free, about {_gb(needed)} are needed for checkpoint "
            "and engine; free some, or make engines/ a link to a larger disk."
        )


def _gpu_problems(recipe: Recipe, gpus: Gpus) -> Iterator[str]:
    precision = PRECISIONS[recipe.precision]
    lowest, highest = precision.lowest_compute, precision.highest_compute
    if not lowest <= gpus.gpu.compute <= highest:
        wanted = f"{lowest / 10}" if lowest == highest else f"{lowest / 10} or newer"
        hint = _HINTS.get(recipe.precision)
        yield (
            f"{recipe.precision} needs compute capability {wanted}, the {gpus.gpu.name} has "
            f"{gpus.gpu.compute / 10}" + (f"; try {hint}." if hint else ".")
        )
    if recipe.build.get("user_buffer") == "enable" and not gpus.gpu.has_nvlink:
        yield (
            f"user_buffer needs GPUs with NVLink, and {gpus.gpu.name} is none by its name: "
            'SET="user_buffer=disable".'
        )
    needed = min(recipe.world_size, recipe.gpus_per_node)
    if gpus.per_node < needed:
        yield (
            f"TP={recipe.tp_size} PP={recipe.pp_size} needs {needed} GPUs on each node, this one has "
            f'{gpus.per_node}; give a smaller TP, or for nodes like this SET="gpus_per_node={gpus.per_node}".'
        )


def _gpu_memory_problems(plan: Plan, gpus: Gpus) -> Iterator[str]:
    recipe, shape = plan.recipe, plan.shape
    precision = replace(PRECISIONS[recipe.precision], has_8_bit_kv=recipe.is_kv_cache_8_bit)
    size = EngineSize(recipe.tp_size, recipe.pp_size, recipe.max_batch_size, recipe.max_num_tokens)
    estimate = gpu_memory(shape, precision, gpus.gpu, size)
    tokens, weights = estimate.kv_tokens, _gb(estimate.weights)
    if tokens < _LEAST_TOKENS:
        yield (
            f"{weights} of weights on each GPU do not fit its {_gb(estimate.total)}; give a larger TP or PP."
        )
    elif tokens < recipe.max_seq_len:
        yield (
            f"Each GPU has room for {tokens} tokens of KV cache, not for one sequence of "
            f"{recipe.max_seq_len}; give MAX_SEQ_LEN={tokens // 1024 * 1024} or a larger TP."
        )
    needed = round(_CALIBRATION_FACTOR * weight_bytes(shape, "bf16"))
    on_gpus = (
        recipe.checkpoint.get("device_map", "auto") != "cpu" and recipe.checkpoint.get("device") != "cpu"
    )
    if recipe.tool == "quantize" and on_gpus and (gpus.gpu.memory_mib << 20) * gpus.per_node < needed:
        yield (
            f"Quantizing takes about {_gb(needed)} of GPU memory in all, here are "
            f"{_gb((gpus.gpu.memory_mib << 20) * gpus.per_node)}; "
            'quantize on a larger machine, or slowly on the CPU: SET="device_map=cpu device=cpu".'
        )


def host_bytes(plan: Plan, num_gpus: int) -> tuple[int, int]:
    """Host memory that making the checkpoint and compiling the engine take.

    convert_checkpoint.py keeps the tensors of the ranks that its workers are at: upstream's unified converter
    maps the files and does not look at load_by_shard (models/llama/model.py). quantize.py keeps a model.
    """
    recipe, shape = plan.recipe, plan.shape
    shard = weight_bytes(shape, recipe.precision) // recipe.world_size
    checkpoint = max(source_bytes(plan.model), weight_bytes(shape, recipe.precision))
    if recipe.tool == "convert_checkpoint":
        checkpoint = checkpoint // recipe.world_size * min(recipe.checkpoint_workers, recipe.world_size)
    return checkpoint, _ENGINE_COPIES * shard * recipe.engine_workers(num_gpus)


def disk_bytes(plan: Plan) -> int:
    """Disk that the TensorRT-LLM checkpoint and the engine take beside each other."""
    return round(2 * _DISK_SLACK * weight_bytes(plan.shape, plan.recipe.precision))


def _gb(size: int) -> str:
    return f"{size / 1e9:,.0f} GB" if size >= 10e9 else f"{size / 1e9:.1f} GB"
