"""The tritonserver of an engine folder with all its ranks, or a worker of one on more nodes.

It becomes the server, so that the container's signals and exit status are the server's own.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from build.engine_folder import ENGINE, REPOSITORY
from build.errors import Failure, run
from build.gpus import detected_gpus
from build.tensorrt_llm.engine import CONFIG, TensorRtLlmEngine, read_tensorrt_llm_engine
from serving import tritonserver
from serving.node.mpi_ranks import mpirun_command
from serving.node.pod_group import PodGroup, placement, read_pod_group, sshd_command, wait_for_workers
from serving.node.requirements import (
    require_files,
    require_fitting_gpus,
    require_packages,
    require_shared_memory,
)

# All of the container's own network: NetworkPolicy and compose's private network keep others out.
_ADDRESS = "0.0.0.0"  # noqa: S104
_PORT = 8001
# By it an LLM API's engine folder is known without reading protobuf, which NVIDIA's image need not have.
_LLM_API_MODULE = Path(REPOSITORY) / "tensorrt_llm" / "1" / "llm_api_engine.py"


@dataclass(frozen=True)
class Order:
    """engine is None for a worker; gpus_per_node is 0 where one node serves alone."""

    engine: Path | None
    gpus_per_node: int
    address: str = _ADDRESS
    port: int = _PORT
    metrics_port: int | None = None


def main() -> int:
    """Does not return, unless the command can't be started."""
    order = read_order()
    scratch = Path(tempfile.mkdtemp(prefix="triton-node-"))
    environment = server_environment(order.engine, os.environ)
    if order.engine is None:
        command = sshd_command(read_pod_group(os.environ).keys, environment, scratch)
    else:
        if is_gpu_engine_folder(order.engine):
            require_node(order.engine, order.gpus_per_node, environment)
        where = (order.address, order.port, order.metrics_port)
        command = server_command(order.engine, order.gpus_per_node, os.environ, scratch, where)
        os.chdir(order.engine)
    # All but the option with a secret, which is random at each start.
    print(*(part for part in command if not part.startswith("--grpc-restricted-protocol")), flush=True)
    os.execve(command[0], command, environment)  # noqa: S606


def server_environment(folder: Path | None, variables: Mapping[str, str]) -> dict[str, str]:
    """TensorRT-LLM's models and a worker's ranks run in the image's Python, the CPU engine's in .venv."""
    if folder is None or is_gpu_engine_folder(folder):
        return tritonserver.image_environment(variables)
    return tritonserver.environment(variables)


def read_order(arguments: Sequence[str] | None = None) -> Order:
    parser = argparse.ArgumentParser(prog="python -m serving.node.triton_node")
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--engine", type=Path, help="the engine folder to serve")
    role.add_argument("--worker", action="store_true", help="wait for ranks from the leader of the pod group")
    parser.add_argument(
        "--gpus-per-node", type=int, default=0, help="lead a pod group of nodes with so many GPUs each"
    )
    parser.add_argument("--address", default=_ADDRESS, help="where to listen for gRPC (%(default)s)")
    parser.add_argument("--port", type=int, default=_PORT, help="at which port (%(default)s)")
    parser.add_argument("--metrics-port", type=int, help="where Triton's metrics are; without it nowhere")
    values = parser.parse_args(arguments)
    return Order(values.engine, values.gpus_per_node, values.address, values.port, values.metrics_port)


def server_command(
    folder: Path,
    gpus_per_node: int,
    variables: Mapping[str, str],
    scratch: Path,
    where: tuple[str, int, int | None] = (_ADDRESS, _PORT, None),
) -> list[str]:
    """The command line that serves the folder, on the nodes of the pod group if gpus_per_node is given."""
    repository = folder.resolve() / REPOSITORY
    if not repository.is_dir():
        raise Failure(f"{folder} is no engine folder: it has no model_repository")
    address, port, metrics_port = where
    server = tritonserver.command(repository, port, address, metrics_port)
    engine = _compiled_engine(folder)
    if gpus_per_node:
        group = read_pod_group(variables)
        _require_fit(engine, group, gpus_per_node)
        wait_for_workers(group)
        return _ranks(server, engine, placement(group, gpus_per_node, scratch))
    return _ranks(server, engine, ())


def require_node(folder: Path, gpus_per_node: int, environment: Mapping[str, str]) -> None:
    """Raises Failure for what would end the server minutes later."""
    require_files(folder)
    require_fitting_gpus(folder, _compiled_engine(folder), gpus_per_node, detected_gpus())
    require_packages(environment)
    require_shared_memory()


def is_gpu_engine_folder(folder: Path) -> bool:
    """By its files alone: whether TensorRT-LLM runs it, compiled or by its LLM API."""
    return (folder / ENGINE / CONFIG).is_file() or (folder / _LLM_API_MODULE).is_file()


def _compiled_engine(folder: Path) -> TensorRtLlmEngine | None:
    """None for an engine that is one process of Triton's, whatever it runs on."""
    if not (folder / ENGINE / CONFIG).exists():
        return None
    return read_tensorrt_llm_engine(folder / ENGINE)


def _ranks(server: list[str], engine: TensorRtLlmEngine | None, where: Sequence[str]) -> list[str]:
    if engine is None or engine.world_size == 1:
        return server
    return mpirun_command(server, engine.world_size, tritonserver.EXIT_TIMEOUT_S, where)


def _require_fit(engine: TensorRtLlmEngine | None, group: PodGroup, gpus_per_node: int) -> None:
    world_size = 1 if engine is None else engine.world_size
    num_gpus = len(group.hosts) * gpus_per_node
    if world_size != num_gpus:
        raise Failure(
            f"the engine has {world_size} ranks, and {len(group.hosts)} nodes of {gpus_per_node} GPUs"
            f" have {num_gpus}"
        )
    if engine is not None and engine.gpus_per_node != gpus_per_node:
        raise Failure(
            f"the engine was built for {engine.gpus_per_node} GPUs per node, and these have {gpus_per_node}"
        )


if __name__ == "__main__":
    run(main)
