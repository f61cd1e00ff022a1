"""Which tools are used, and how Docker is asked to run them."""

import os
from pathlib import Path

import pytest

from build.errors import BuildError
from build.tensorrt_llm.toolchain import IMAGE, Direct, Docker, Tools, find_toolchain, find_tools
from tests.build.tensorrt_llm.standins import StandIns, install


def tools_in(path: Path, monkeypatch: pytest.MonkeyPatch, *, docker: bool) -> StandIns:
    tools = install(path / "tools", docker=docker)
    monkeypatch.setenv("PATH", f"{tools.bin}:/usr/bin:/bin")
    return tools


def test_tools_at_hand_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tools_in(tmp_path, monkeypatch, docker=False)
    found = find_toolchain([], [], tmp_path, {"TENSORRT_LLM_EXAMPLES": str(tools.examples)})
    assert isinstance(found, Direct)
    assert found.preparation() is None
    assert found.removal() is None
    assert find_tools(found) == Tools(str(tools.folder / "inside" / "python3"), tools.examples)


@pytest.mark.parametrize("image", [IMAGE, "registry.example/trtllm:1"])
def test_docker_runs_them_elsewhere(image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tools_in(tmp_path, monkeypatch, docker=True)
    monkeypatch.setenv("HF_TOKEN", "secret")
    found = find_toolchain([tmp_path / "m"], [tmp_path], tmp_path / "home", {"TENSORRT_LLM_IMAGE": image})
    assert found.preparation() == [str(tools.bin / "docker"), "pull", image]
    command = found.command(["trtllm-build", "--output_dir", "x"])
    assert command[-4:] == [image, "trtllm-build", "--output_dir", "x"]
    for word in (
        "--gpus=all",
        f"--volume={tmp_path}/m:{tmp_path}/m:ro",
        f"--volume={tmp_path}:{tmp_path}",
        f"--user={os.getuid()}:{os.getgid()}",
        "--env=HF_TOKEN",
    ):
        assert word in command
    assert "secret" not in " ".join(command)
    name = next(word for word in command if word.startswith("--name=")).removeprefix("--name=")
    assert found.removal() == [str(tools.bin / "docker"), "rm", "--force", name]


def test_image_that_is_here_is_not_pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tools_in(tmp_path, monkeypatch, docker=True)
    (tools.folder / "pulled").write_text(IMAGE)
    assert find_toolchain([], [], tmp_path, {}).preparation() is None


def test_silent_docker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(BuildError, match="Docker does not answer"):
        find_toolchain([], [], tmp_path, {})


@pytest.mark.parametrize("version", ["1.0.0", "1.2.1rc1", "1.3.0"])
def test_other_versions_are_refused(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tools_in(tmp_path, monkeypatch, docker=False)
    tools.set_version(version)
    found = find_toolchain([], [], tmp_path, {"TENSORRT_LLM_EXAMPLES": str(tools.examples)})
    with pytest.raises(BuildError, match=f"is {version}, and engines are built"):
        find_tools(found)


def test_container_without_gpus_is_told(tmp_path: Path) -> None:
    """As where the NVIDIA Container Toolkit is missing."""
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'could not select device driver' >&2\nexit 125\n")
    docker.chmod(0o755)
    with pytest.raises(BuildError, match=r"does not run in the image .*: could not select device driver"):
        find_tools(Docker(str(docker), IMAGE, (), (), tmp_path, has_image=True))


@pytest.mark.parametrize(
    ("first_line", "python"),
    [
        ("#!{inside}/python3", "{inside}/python3"),
        ("#! {inside}/python3 -sE", "{inside}/python3"),
        ("#!/usr/bin/env python3", "python3"),
        ("#!/bin/sh", "python3"),
    ],
)
def test_python_is_that_of_trtllm_build(
    first_line: str, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tools_in(tmp_path, monkeypatch, docker=False)
    inside = tools.folder / "inside"
    (inside / "trtllm-build").write_text(first_line.format(inside=inside) + "\n")
    monkeypatch.setenv("PATH", f"{tools.bin}:{inside}:/usr/bin:/bin")
    assert find_tools(Direct(tools.examples)).python == python.format(inside=inside)


def test_local_versions_are_the_same_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tools_in(tmp_path, monkeypatch, docker=False)
    tools.set_version("1.2.1+cu131")
    assert find_tools(Direct(tools.examples)).examples == tools.examples
