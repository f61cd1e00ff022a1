"""How a compiled engine's server is started: by this machine's TensorRT-LLM, or by Docker."""

import os
import sys
from pathlib import Path

import pytest

from build.errors import Failure
from build.paths import ROOT
from build.tensorrt_llm.toolchain import IMAGE
from serving.engine_server import gpu_launch


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    folder = tmp_path / "backends" / "tensorrtllm"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A docker command that has one image, the one named in the file beside it."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nset -e\n[ "$1 $2" = "image inspect" ]\n[ "$3" = "$(cat "$0.image")" ]\n')
    program.chmod(0o755)
    program.with_name("docker.image").write_text(IMAGE)
    return program


def path_to(program: Path) -> dict[str, str]:
    return {"PATH": os.pathsep.join([str(program.parent), os.environ["PATH"]])}


def test_here_the_ranks_are_this_projects_to_start(tmp_path: Path, backend: Path) -> None:
    launch = gpu_launch(tmp_path / "llama", 9001, {}, backend)
    node = ["-m", "serving.node.triton_node", "--engine", str(tmp_path / "llama")]
    assert launch.command == [sys.executable, *node, "--address", "127.0.0.1", "--port", "9001"]
    assert not launch.preparation
    assert not launch.clean_up


def test_docker_runs_nvidias_image_on_loopback_and_is_cleaned_up(
    tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_to(docker)["PATH"])
    launch = gpu_launch(tmp_path / "llama", 9001, dict(os.environ), tmp_path / "absent")
    options, inner = (
        launch.command[: launch.command.index(IMAGE)],
        launch.command[launch.command.index(IMAGE) :],
    )
    assert options[:3] == ["docker", "run", "--rm"]
    assert {
        "--gpus=all",
        "--shm-size=2g",
        "--ulimit=memlock=-1",
        "--ulimit=stack=67108864",
        "--publish=127.0.0.1:9001:8001",
        f"--volume={tmp_path / 'llama'}:/engine:ro",
        f"--volume={ROOT / 'native'}:/opt/triton-llama/native:ro",
        f"--volume={ROOT / 'serving'}:/opt/triton-llama/serving:ro",
        f"--volume={ROOT / 'build'}:/opt/triton-llama/build:ro",
        "--workdir=/opt/triton-llama",
    } <= set(options)
    assert inner[1:] == [
        *("python3", "-m", "serving.node.triton_node", "--engine", "/engine"),
        *("--address", "0.0.0.0", "--port", "8001"),
    ]
    assert not launch.preparation
    assert launch.clean_up == ["docker", "rm", "--force", "triton-llama-9001"]


def test_metrics_get_a_port_here_and_in_the_container(
    tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_to(docker)["PATH"])
    inside = gpu_launch(tmp_path / "llama", 9001, dict(os.environ), tmp_path / "absent", metrics_port=9002)
    assert "--publish=127.0.0.1:9002:8002" in inside.command
    assert inside.command[-2:] == ["--metrics-port", "8002"]
    here = gpu_launch(tmp_path / "llama", 9001, {}, tmp_path, metrics_port=9002)
    assert here.command[-2:] == ["--metrics-port", "9002"]


def test_docker_gets_the_visible_gpus_alone(
    tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_to(docker)["PATH"])
    variables = dict(os.environ) | {"CUDA_VISIBLE_DEVICES": "0,2"}
    launch = gpu_launch(tmp_path / "llama", 9001, variables, tmp_path / "absent")
    # The quotes are Docker's: the comma would end the option otherwise.
    assert '--gpus="device=0,2"' in launch.command


def test_an_image_that_is_not_here_is_pulled_first(
    tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_to(docker)["PATH"])
    variables = dict(os.environ) | {"TENSORRT_LLM_IMAGE": "mine:1"}
    launch = gpu_launch(tmp_path / "llama", 9001, variables, tmp_path / "absent")
    assert launch.preparation == ["docker", "pull", "mine:1"]
    assert "mine:1" in launch.command


def test_a_machine_with_neither_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        Failure, match=r"llama needs the TensorRT-LLM backend .*26\.07-trtllm.*install Docker"
    ):
        gpu_launch(tmp_path / "llama", 9001, {"PATH": str(tmp_path)}, tmp_path / "absent")
