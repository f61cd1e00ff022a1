"""How `make serve` starts the tritonserver of an engine folder: here, or in NVIDIA's container by Docker."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from build.errors import Failure
from build.gpus import VISIBLE
from build.llm_api.repository import read_llm_api
from build.paths import ROOT, TENSORRT_LLM_BACKEND
from build.tensorrt_llm.toolchain import IMAGE
from serving import tritonserver
from serving.node.mpi_ranks import UNLOADING_S
from serving.node.requirements import require_shared_memory

LOOPBACK = "127.0.0.1"
# Starting with nothing to load takes five seconds on a quiet machine.
START_S = 120.0
SLOWEST_LOAD_BYTES_S = 100e6
# Of the Python backend: a megabyte for each model's process, and more beside large prompts.
EMBEDDED_SHARED_MEMORY = 16 << 20
# Beyond what a server grants itself to finish its requests.
STOP_MARGIN_S = 5
# Where the engine folder and this project lie within the container.
_ENGINE_INSIDE = "/engine"
_PROJECT_INSIDE = "/opt/triton-llama"
# What Triton listens on within it; published at TRITON_GRPC_PORT of this machine's loopback alone.
_PORT_INSIDE = 8001
_METRICS_PORT_INSIDE = 8002


@dataclass(frozen=True)
class ServerLaunch:
    """A command, what must have run before it, and what makes sure afterwards that nothing of it is left."""

    command: Sequence[str]
    environment: Mapping[str, str]
    grace_s: float
    preparation: Sequence[str] = ()
    clean_up: Sequence[str] = ()
    policy: int = os.SCHED_OTHER
    """How the kernel schedules it (sched(7))."""
    start_s: float = START_S
    """What loading may take; a server that is not up by then hangs."""


def embedded_launch(
    repository: Path, grpc_port: int, variables: Mapping[str, str], metrics_port: int | None = None
) -> ServerLaunch:
    """One tritonserver, on cores that its engine fills.

    A token goes through four of its threads. Under SCHED_BATCH a thread that wakes does not interrupt the one
    that woke it, so that a busy machine changes threads less often: a fifth less CPU time per token.
    """
    require_shared_memory(least=EMBEDDED_SHARED_MEMORY)
    command = tritonserver.command(repository, grpc_port, metrics_port=metrics_port)
    grace_s = tritonserver.EXIT_TIMEOUT_S + STOP_MARGIN_S
    return ServerLaunch(command, tritonserver.environment(variables), grace_s, policy=os.SCHED_BATCH)


def gpu_launch(
    folder: Path,
    grpc_port: int,
    variables: Mapping[str, str],
    backend: Path = TENSORRT_LLM_BACKEND,
    metrics_port: int | None = None,
) -> ServerLaunch:
    """The ranks of a TensorRT-LLM engine; fails where neither its backend nor Docker is."""
    if backend.is_dir():
        return _here(folder.resolve(), grpc_port, variables, metrics_port)
    if shutil.which("docker", path=variables.get("PATH")):
        return _in_container(folder.resolve(), grpc_port, variables, metrics_port)
    raise Failure(
        f"{folder} needs the TensorRT-LLM backend ({backend}): run this inside {IMAGE}, or install Docker "
        "and the NVIDIA Container Toolkit"
    )


def _here(
    folder: Path, grpc_port: int, variables: Mapping[str, str], metrics_port: int | None
) -> ServerLaunch:
    command = [sys.executable, *_node(str(folder), LOOPBACK, grpc_port, metrics_port)]
    return ServerLaunch(command, dict(variables), _grace_s(), start_s=_start_s(folder))


def _in_container(
    folder: Path, grpc_port: int, variables: Mapping[str, str], metrics_port: int | None
) -> ServerLaunch:
    image = variables.get("TENSORRT_LLM_IMAGE") or IMAGE
    name = f"triton-llama-{grpc_port}"
    gpus = variables.get(VISIBLE)
    command = [
        *("docker", "run", "--rm", f"--name={name}"),
        # As NVIDIA starts this image (README of tensorrtllm_backend).
        f'--gpus="device={gpus}"' if gpus else "--gpus=all",
        *("--shm-size=2g", "--ulimit=memlock=-1", "--ulimit=stack=67108864"),
        f"--publish={LOOPBACK}:{grpc_port}:{_PORT_INSIDE}",
        *([f"--publish={LOOPBACK}:{metrics_port}:{_METRICS_PORT_INSIDE}"] if metrics_port else []),
        f"--volume={folder}:{_ENGINE_INSIDE}:ro",
        *_checkpoint_volume(folder),
        *(f"--volume={ROOT / part}:{_PROJECT_INSIDE}/{part}:ro" for part in ("build", "native", "serving")),
        f"--workdir={_PROJECT_INSIDE}",
        image,
        "python3",
        *_node(
            _ENGINE_INSIDE,
            "0.0.0.0",  # noqa: S104 - within the container
            _PORT_INSIDE,
            _METRICS_PORT_INSIDE if metrics_port else None,
        ),
    ]
    # A container outlives a docker command that is killed, and with it the GPUs' memory stays taken.
    removal = ["docker", "rm", "--force", name]
    preparation = [] if _is_here(image) else ["docker", "pull", image]
    return ServerLaunch(command, dict(variables), _grace_s(), preparation, removal, start_s=_start_s(folder))


def _checkpoint_volume(folder: Path) -> list[str]:
    """The LLM API loads the checkpoint from where it was when the engine folder was made."""
    llm_api = read_llm_api(folder)
    return [f"--volume={llm_api.checkpoint}:{llm_api.checkpoint}:ro"] if llm_api else []


def _node(engine: str, address: str, port: int, metrics_port: int | None) -> list[str]:
    metrics = ["--metrics-port", str(metrics_port)] if metrics_port else []
    where = ["--address", address, "--port", str(port), *metrics]
    return ["-m", "serving.node.triton_node", "--engine", engine, *where]


def _start_s(folder: Path) -> float:
    """By the bytes that are loaded, from a volume on a slow network."""
    llm_api = read_llm_api(folder)
    loaded = [folder, *([Path(llm_api.checkpoint)] if llm_api else [])]
    num_bytes = sum(file.stat().st_size for path in loaded for file in path.rglob("*") if file.is_file())
    return START_S + num_bytes / SLOWEST_LOAD_BYTES_S


def _grace_s() -> float:
    return tritonserver.EXIT_TIMEOUT_S + UNLOADING_S + STOP_MARGIN_S


def _is_here(image: str) -> bool:
    inspection = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    return inspection.returncode == 0
