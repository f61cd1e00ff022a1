"""Decides what an engine is built for: TensorRT-LLM where GPUs and a recipe are, the CPU engine elsewhere."""

from collections.abc import Callable
from pathlib import Path

from build.checkpoint.shapes import find_shape
from build.cpu.engine import NO_PRECISIONS, PRECISIONS
from build.errors import BuildError
from build.gpus import Gpus
from build.tensorrt_llm.checkpoint_files import read_model_config
from build.tensorrt_llm.recipe import PRECISIONS as GPU_PRECISIONS
from build.tensorrt_llm.recipe import choose_recipe

CPU, TENSORRT_LLM, LLM_API = "cpu", "tensorrt_llm", "llmapi"
BACKENDS = (CPU, TENSORRT_LLM, LLM_API)


def choose_backend(
    backend: str | None,
    model: Path | None,
    precision: str | None,
    gpu_options: bool,
    gpus: Callable[[], Gpus | None],
) -> str:
    """The backend asked for, or the one that the rest implies; gpu_options: a recipe or a change of one."""
    if backend == CPU and gpu_options:
        raise BuildError("BACKEND=cpu has no recipes, adapters and parallelism; leave one of the two out.")
    if backend in (TENSORRT_LLM, LLM_API) and model is None:
        raise BuildError(
            "MODEL: TensorRT-LLM needs a Hugging Face folder of Llama 3.1; the embedded model is for CPUs."
        )
    if backend:
        return backend
    if gpu_options or (precision in GPU_PRECISIONS and precision not in (*PRECISIONS, *NO_PRECISIONS)):
        return choose_backend(TENSORRT_LLM, model, precision, gpu_options, gpus)
    if precision not in (None, *GPU_PRECISIONS) or model is None or not _has_recipe(model):
        return CPU
    return TENSORRT_LLM if gpus() else CPU


def _has_recipe(model: Path) -> bool:
    """Whether this is a checkpoint of a size that recipes are for; Llama 3.0 is of the same size."""
    if not model.is_dir():
        return False
    try:
        rope = read_model_config(model).get("rope_scaling") or {}
        return rope.get("rope_type") == "llama3" and choose_recipe(find_shape(str(model)), "bf16") is not None
    except BuildError:
        return False
