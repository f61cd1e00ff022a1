"""Which engine folders are TensorRT-LLM's, and which of them a machine can serve."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build.errors import Failure
from build.gpus import GPUS, Gpus, detected_gpus
from build.manifest import write_manifest
from build.repository import render_repository
from serving.gpu_engine import gpu_engines, is_gpu_engine, require_servable
from tests.build.compiled_engine import engine_config
from tests.build.test_manifest import MANIFEST
from tests.serving.compiled_folder import write_compiled_folder


def gpus(count: int) -> Gpus | None:
    return Gpus(GPUS["H100"], count, 1) if count else None


def of_version(version: str) -> dict[str, Any]:
    return engine_config() | {"version": version}


def test_only_a_repository_for_tensorrt_llms_backend_counts(tmp_path: Path) -> None:
    write_compiled_folder(tmp_path / "llama")
    write_compiled_folder(tmp_path / ".llama.partial-1")
    render_repository(MANIFEST, tmp_path / "embedded" / "model_repository")
    (tmp_path / "something").mkdir()
    assert gpu_engines(tmp_path) == [tmp_path / "llama"]
    assert not is_gpu_engine(tmp_path / "embedded")
    assert not is_gpu_engine(tmp_path / "absent")
    assert gpu_engines(tmp_path / "absent") == []


def test_a_broken_repository_is_a_failure(tmp_path: Path) -> None:
    folder = write_compiled_folder(tmp_path / "llama")
    (folder / "model_repository" / "tensorrt_llm" / "config.pbtxt").write_text("backend = 5")
    with pytest.raises(Failure, match="is not a model configuration"):
        is_gpu_engine(folder)


@pytest.mark.parametrize(("tp", "pp", "count"), [(1, 1, 1), (1, 1, 8), (4, 1, 4), (4, 2, 8)])
def test_enough_gpus(tmp_path: Path, tp: int, pp: int, count: int) -> None:
    folder = write_compiled_folder(tmp_path / "llama", engine_config(tp=tp, pp=pp))
    require_servable(folder, gpus(count))


@pytest.mark.parametrize(
    ("config", "count", "complaint"),
    [
        (engine_config(), 0, "llama is a TensorRT-LLM engine, and no GPU is to be seen here"),
        (engine_config(tp=4), 2, r"llama needs 4 GPUs \(TP=4 PP=1\), and 2 are to be seen here"),
        (engine_config(tp=8, pp=2), 8, r"needs 2 machines of 8 GPUs \(TP=8 PP=2\).*docs/gpu\.md"),
        (
            of_version("1.1.0"),
            1,
            "built by TensorRT-LLM 1.1.0, and 1.2.1 loads its own .*build-engines NAME=llama",
        ),
    ],
)
def test_what_can_not_be_served_is_told(
    tmp_path: Path, config: dict[str, Any], count: int, complaint: str
) -> None:
    folder = write_compiled_folder(tmp_path / "llama", config)
    with pytest.raises(Failure, match=complaint):
        require_servable(folder, gpus(count))


def test_an_engine_without_all_its_ranks_is_told(tmp_path: Path) -> None:
    folder = write_compiled_folder(tmp_path / "llama", engine_config(tp=2))
    (folder / "engine" / "rank1.engine").unlink()
    with pytest.raises(Failure, match=r"lacks rank1\.engine"):
        require_servable(folder, gpus(2))


def test_an_older_driver_is_told(tmp_path: Path) -> None:
    folder = write_compiled_folder(tmp_path / "llama")
    with pytest.raises(Failure, match=r"The NVIDIA driver is 570\.124\.06.*580 or newer.*update the driver"):
        require_servable(folder, Gpus(GPUS["H100"], 1, 1, "570.124.06"))


def test_an_engine_of_another_gpu_is_told(tmp_path: Path) -> None:
    folder = write_compiled_folder(tmp_path / "llama")
    write_manifest(replace(MANIFEST, compute=90), folder)
    require_servable(folder, gpus(1))
    told = r"llama/manifest\.json: built for compute capability 9\.0, and the L40S has 8\.9; build it again"
    with pytest.raises(Failure, match=told):
        require_servable(folder, Gpus(GPUS["L40S"], 1, 1))


def test_different_gpus_are_a_sentence() -> None:
    text = "0, GPU-1, 590.44.01, NVIDIA L4, 23034, 8.9\n1, GPU-2, 590.44.01, NVIDIA A10G, 23028, 8.6\n"
    with pytest.raises(Failure, match="different GPUs"):
        detected_gpus(lambda: text, {})
