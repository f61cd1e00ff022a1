"""Engines of TensorRT-LLM, compiled or the LLM API's: which folders hold one, and can it be served here."""

from pathlib import Path

from build.engine_folder import ENGINE, REPOSITORY
from build.errors import Failure
from build.gpus import Gpus, driver_problem
from build.llm_api.repository import LlmApiServing, read_llm_api
from build.repository import CONFIG, ENGINE_MODEL, read_config
from build.tensorrt_llm.config import BACKEND
from build.tensorrt_llm.engine import read_tensorrt_llm_engine, require_gpus


def is_gpu_engine(folder: Path) -> bool:
    """Whether an engine folder's repository is for TensorRT-LLM: for its own backend, or for its LLM API."""
    config = folder / REPOSITORY / ENGINE_MODEL / CONFIG
    is_compiled = config.is_file() and read_config(config).backend == BACKEND
    return is_compiled or read_llm_api(folder) is not None


def gpu_engines(engines: Path) -> list[Path]:
    """All engine folders of this kind, in order of their names; unfinished ones begin with a dot."""
    if not engines.is_dir():
        return []
    folders = (folder for folder in engines.iterdir() if not folder.name.startswith("."))
    return sorted(folder for folder in folders if is_gpu_engine(folder))


def require_servable(folder: Path, gpus: Gpus | None) -> None:
    """Fails with a sentence when the folder's engine would not load on these GPUs."""
    if gpus is None:
        raise Failure(f"{folder} is a TensorRT-LLM engine, and no GPU is to be seen here (nvidia-smi)")
    if llm_api := read_llm_api(folder):
        _require_llm_api(folder, llm_api, gpus)
        return
    engine = read_tensorrt_llm_engine(folder / ENGINE)
    if engine.num_nodes > 1:
        layout = f"TP={engine.tensor_parallel} PP={engine.pipeline_parallel}"
        raise Failure(
            f"{folder} needs {engine.num_nodes} machines of {engine.gpus_per_node} GPUs ({layout}), and "
            "make serve starts one; docs/gpu.md tells how to start several"
        )
    require_gpus(folder, engine, gpus, engine.world_size)


def _require_llm_api(folder: Path, llm_api: LlmApiServing, gpus: Gpus) -> None:
    if problem := driver_problem(gpus):
        raise Failure(problem)
    if not llm_api.checkpoint.is_dir():
        raise Failure(f"{folder} serves the checkpoint {llm_api.checkpoint}, which is not there")
    if gpus.count < llm_api.world_size:
        layout = f"TP={llm_api.tensor_parallel} PP={llm_api.pipeline_parallel}"
        raise Failure(
            f"{folder} needs {llm_api.world_size} GPUs ({layout}), and {gpus.count} are to be seen here"
        )
