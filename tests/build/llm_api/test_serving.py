"""`make serve` and the containers know an engine folder of the LLM API."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.errors import Failure
from build.gpus import GPUS, Gpus
from serving import engine
from serving.engine_server import gpu_launch
from serving.gpu_engine import gpu_engines, require_servable
from serving.node.triton_node import server_command, server_environment
from tests.build.llm_api.conftest import Folder
from tests.build.tiny_llama import tiny_config, write_hugging_face

Build = Callable[..., Folder]


def gpus(count: int) -> Gpus:
    return Gpus(GPUS["H100"], count, 1)


def test_it_is_found_and_served_as_it_is(build: Build) -> None:
    folder = build()
    engines = folder.path.parent
    assert gpu_engines(engines) == [folder.path]
    chosen = engine.choose({"NAME": "tiny"}, engines, lambda: gpus(1))
    assert (chosen.folder, chosen.build_command) == (folder.path, None)


def test_it_needs_as_many_gpus_as_it_has_ranks(build: Build) -> None:
    folder = build(tensor_parallel=2)
    require_servable(folder.path, gpus(2))
    with pytest.raises(Failure, match=r"needs 2 GPUs \(TP=2 PP=1\), and 1 are"):
        require_servable(folder.path, gpus(1))
    with pytest.raises(Failure, match="no GPU"):
        require_servable(folder.path, None)


def test_it_needs_the_checkpoint_where_it_was(build: Build, tmp_path: Path) -> None:
    checkpoint = write_hugging_face(tmp_path / "moved", tiny_config())
    folder = build(model=checkpoint)
    shutil.rmtree(checkpoint)
    with pytest.raises(Failure, match=f"{checkpoint}, which is not there"):
        require_servable(folder.path, gpus(1))


def test_the_container_gets_the_checkpoint_too(build: Build, checkpoint: Path, tmp_path: Path) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\n")
    docker.chmod(0o755)
    variables: dict[str, Any] = {"PATH": os.pathsep.join([str(docker.parent), os.environ["PATH"]])}
    launch = gpu_launch(build().path, 9001, variables, backend=tmp_path / "no-backend")
    assert f"--volume={checkpoint.resolve()}:{checkpoint.resolve()}:ro" in launch.command


def test_one_tritonserver_starts_its_ranks_itself(build: Build, tmp_path: Path) -> None:
    command = server_command(build(tensor_parallel=2).path, 0, {}, tmp_path)
    assert not any("mpirun" in part for part in command)


def test_its_models_see_the_images_packages(build: Build, tmp_path: Path) -> None:
    """Where tensorrt_llm is, and not in this project's virtual environment."""
    variables = {"PATH": "/usr/bin", "PYTHONPATH": "/opt/tensorrt_llm", "HOME": str(tmp_path)}
    assert server_environment(build().path, variables) == variables
    assert server_environment(tmp_path, variables)["PATH"] != "/usr/bin"
