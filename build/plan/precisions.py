"""The precisions that engines are built in: on which GPUs, and with how large a KV cache."""

from dataclasses import dataclass

from build.errors import BuildError
from build.gpus import Gpu


@dataclass(frozen=True)
class Precision:
    """Compute capabilities times ten; has_8_bit_kv: whether the recipes store keys and values in FP8."""

    name: str
    lowest_compute: int
    highest_compute: int
    has_8_bit_kv: bool


# FP8 came with Ada (8.9); rowwise "only supports SM90" (upstream's README for Llama); TensorRT-LLM itself
# begins with Ampere (8.0).
PRECISIONS = {
    "bf16": Precision("bf16", 80, 999, False),
    "fp8": Precision("fp8", 89, 999, True),
    "fp8-rowwise": Precision("fp8-rowwise", 90, 90, False),
    "int4-awq": Precision("int4-awq", 80, 999, False),
}


def runs_on(precision: Precision, gpu: Gpu) -> bool:
    """Whether the GPU has what the precision's kernels need."""
    return precision.lowest_compute <= gpu.compute <= precision.highest_compute


def find_precision(name: str, gpu: Gpu) -> Precision:
    """The precision of this name, without one the fastest of the GPU; raises BuildError if it can't run."""
    if not name:
        return PRECISIONS["fp8" if runs_on(PRECISIONS["fp8"], gpu) else "bf16"]
    precision = PRECISIONS.get(name.lower())
    if precision is None:
        raise BuildError(f"PRECISION: {name!r} is none of {', '.join(PRECISIONS)}.")
    if not runs_on(precision, gpu):
        able = [other.name for other in PRECISIONS.values() if runs_on(other, gpu)]
        hint = f"; it can do {', '.join(able)}" if able else "; TensorRT-LLM begins with 8.0"
        raise BuildError(
            f"PRECISION: {precision.name} needs compute capability {_wanted(precision)}, and {gpu.name} has "
            f"{gpu.compute / 10}{hint}."
        )
    return precision


def _wanted(precision: Precision) -> str:
    lowest = f"{precision.lowest_compute / 10}"
    return lowest if precision.lowest_compute == precision.highest_compute else f"{lowest} or newer"
