"""What would end a server minutes later is one sentence before."""

import os
import sys
from pathlib import Path

import pytest

from build.errors import Failure
from build.gpus import GPUS, Gpus
from build.manifest import write_manifest
from build.tensorrt_llm.engine import read_tensorrt_llm_engine
from serving.node.requirements import (
    require_files,
    require_fitting_gpus,
    require_packages,
    require_shared_memory,
)
from tests.build.compiled_engine import engine_config
from tests.build.test_manifest import MANIFEST
from tests.serving.compiled_folder import write_compiled_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_compiled_folder(tmp_path / "llama", engine_config(tp=8))
    (folder / "tokenizer").mkdir()
    for name in ("tokenizer.json", "chat_template.jinja"):
        (folder / "tokenizer" / name).touch()
    write_manifest(MANIFEST, folder)
    return folder


@pytest.mark.parametrize(
    "name",
    ["tokenizer/chat_template.jinja", "tokenizer/tokenizer.json", "model_repository/preprocess/config.pbtxt"],
)
def test_half_an_engine_folder_is_told_by_what_it_lacks(folder: Path, name: str) -> None:
    require_files(folder)
    (folder / name).unlink()
    with pytest.raises(Failure, match=f"llama lacks {name}: build it again: make build-engines NAME=llama"):
        require_files(folder)


def test_gpus_that_can_not_serve_are_told(folder: Path) -> None:
    engine = read_tensorrt_llm_engine(folder / "engine")
    for gpus_per_node, gpus in ((0, Gpus(GPUS["H100"], 8, 1)), (4, Gpus(GPUS["H100"], 4, 1)), (0, None)):
        require_fitting_gpus(folder, engine, gpus_per_node, gpus)
    with pytest.raises(Failure, match="needs 8 GPUs"):
        require_fitting_gpus(folder, engine, 0, Gpus(GPUS["H100"], 4, 1))
    with pytest.raises(Failure, match="The NVIDIA driver is 550"):
        require_fitting_gpus(folder, engine, 0, Gpus(GPUS["H100"], 8, 1, "550.54.14"))


def test_a_python_without_the_models_packages_is_told(tmp_path: Path) -> None:
    environment = {"PATH": os.pathsep.join([str(tmp_path), os.defpath])}
    (tmp_path / "python3").symlink_to(sys.executable)
    require_packages(environment, ["json"])
    with pytest.raises(
        Failure, match=r"python3 lacks no_such_package, which the models import: .*NVIDIA's image"
    ):
        require_packages(environment, ["json", "no_such_package"])
    with pytest.raises(Failure, match="no python3"):
        require_packages({"PATH": str(tmp_path / "absent")})


def test_a_container_with_too_little_shared_memory_is_told(tmp_path: Path) -> None:
    require_shared_memory(tmp_path, 1)
    with pytest.raises(Failure, match=r"has \d+ MB left, and the models need \d+: .*--shm-size=2g"):
        require_shared_memory(tmp_path, 1 << 60)
