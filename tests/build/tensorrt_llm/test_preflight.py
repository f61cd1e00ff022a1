"""What would fail hours later is told before anything runs, all at once, each with what to do."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from build.checkpoint.shapes import LLAMA_3_1
from build.gpus import GPUS, Gpus, named_gpus
from build.tensorrt_llm.preflight import Machine, Plan, available_memory, host_bytes, problems
from build.tensorrt_llm.recipe import find_recipe, overridden
from tests.build.tensorrt_llm.llama_folder import llama_config, write_llama

TB = 10**12


def told(
    recipe: str = "llama-3.1-8b-fp8",
    gpus: str = "H100",
    settings: tuple[str, ...] = (),
    memory: int = 2 * TB,
    disk: int = 2 * TB,
    folder: Path = Path(__file__).parent,
    **config: Any,
) -> list[str]:
    shape = LLAMA_3_1[recipe.split("-")[2]]
    plan = Plan(folder, llama_config(**config), shape, overridden(find_recipe(recipe), settings), disk)
    return problems(plan, Machine(named_gpus(gpus) if gpus else None, memory))


def test_an_older_driver_is_told() -> None:
    gpus = Gpus(GPUS["H100"], 1, 1, "535.183.01")
    shape, recipe = LLAMA_3_1["8b"], find_recipe("llama-3.1-8b-fp8")
    plan = Plan(Path(__file__).parent, llama_config(), shape, recipe, 2 * TB)
    (problem,) = problems(plan, Machine(gpus, 2 * TB))
    assert problem.startswith("The NVIDIA driver is 535.183.01")


def test_what_is_well_is_not_told() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("case", "problems"),
    [
        ({"gpus": ""}, ["nvidia-smi lists no GPU"]),
        (
            {"recipe": "llama-3.1-70b-fp8", "gpus": "4xL40S", "settings": ("max_seq_len=8192",)},
            [
                'user_buffer needs GPUs with NVLink, and L40S is none .*SET="user_buffer',
                "Quantizing",
            ],
        ),
        ({"memory": 10**10}, ["10 GB of host memory are available, about 18 GB .*build.workers=1"]),
        ({"disk": 10**10}, ["10 GB of disk are free, about 19 GB are needed"]),
        (
            {"gpus": "A100"},
            ["fp8 needs compute capability 8.9 or newer, .*A100-80GB has 8.0; try PRECISION=bf16"],
        ),
        (
            {"recipe": "llama-3.1-405b-fp8-rowwise", "gpus": "8xB200"},
            ["fp8-rowwise needs compute capability 9.0, the B200 has 10.0"],
        ),
        (
            {"recipe": "llama-3.1-405b-fp8-rowwise", "gpus": "8xL40S"},
            ["needs compute capability 9.0", "weights on each GPU do not fit"],
        ),
        ({"settings": ("tp_size=3",), "gpus": "4xH100"}, ["TP=3 does not divide the 8 KV heads"]),
        ({"settings": ("tp_size=2",)}, ["needs 2 GPUs on each node, this one has 1"]),
        (
            {"settings": ("tp_size=16",), "gpus": "8xH100"},
            ["TP=16 does not divide the 8 KV heads", "TP=16 leaves the node of 8 GPUs"],
        ),
        (
            {"settings": ("tp_size=4", "pp_size=3"), "gpus": "8xH100"},
            ["TP x PP = 12 does not fill nodes of 8"],
        ),
        ({"settings": ("pp_size=33",), "gpus": "8xH100"}, ["PP=33 is more than", "does not fill nodes"]),
        ({"recipe": "llama-3.1-405b-bf16", "gpus": "4xH100"}, ["needs 8 GPUs on each node, this one has 4"]),
        ({"settings": ("build.max_seq_len=131073",)}, ["the model ends at MAX_SEQ_LEN=131072"]),
        ({"recipe": "llama-3.1-8b-bf16", "gpus": "L4"}, ["for one sequence of 131072; give MAX_SEQ_LEN="]),
        (
            {"recipe": "llama-3.1-70b-fp8", "gpus": "2xH100", "settings": ("tp_size=2",)},
            ["Quantizing takes about 212 GB"],
        ),
        ({"settings": ("calib_dataset=/nowhere",)}, ["There is no folder /nowhere of calibration texts"]),
        ({"rope_scaling": None}, ['lacks "rope_scaling"']),
        ({"rope_scaling": {"rope_type": "linear"}}, ['lacks "rope_scaling"']),
        ({"architectures": ["MistralForCausalLM"]}, [r"not \['LlamaForCausalLM'\]"]),
        ({"quantization_config": {"quant_method": "awq"}}, [r"is quantized already \(awq\)"]),
        ({"quantization_config": {"quant_method": "fbgemm_fp8"}}, ["PRECISION=fp8-rowwise"]),
        ({"gpus": "", "memory": 1, "disk": 1}, ["lists no GPU", "of host memory", "of disk"]),
    ],
)
def test_what_is_wrong_is_told(case: dict[str, Any], problems: list[str]) -> None:
    found = told(**case)
    assert len(found) == len(problems), found
    for problem, text in zip(problems, found, strict=True):
        assert re.search(problem, text)


def test_suggested_length_fits() -> None:
    problem = told("llama-3.1-8b-bf16", "L4")[0]
    length = problem.partition("MAX_SEQ_LEN=")[2].split()[0]
    assert told("llama-3.1-8b-bf16", "L4", (f"build.max_seq_len={length}",)) == []


def test_quantizing_on_the_cpu_needs_no_gpu_memory() -> None:
    settings = ("tp_size=2", "device_map=cpu", "device=cpu")
    assert told("llama-3.1-70b-fp8", "2xH100", settings) == []


def test_metas_fp8_checkpoint_goes_with_the_rowwise_recipe() -> None:
    found = told("llama-3.1-405b-fp8-rowwise", "8xH100", quantization_config={"quant_method": "fbgemm_fp8"})
    assert found == []


def test_another_models_recipe_is_refused(tmp_path: Path) -> None:
    plan = Plan(tmp_path, llama_config(), LLAMA_3_1["70b"], find_recipe("llama-3.1-8b-fp8"), TB)
    found = problems(plan, Machine(named_gpus("8xH100"), TB))
    assert "is for 32 layers of 4096, the model has 80 of 8192" in found[0]


def test_old_clones_of_405b_are_told() -> None:
    shape = dataclasses.replace(LLAMA_3_1["405b"], num_kv_heads=16)
    recipe = find_recipe("llama-3.1-405b-fp8-rowwise")
    machine = Machine(named_gpus("8xH200"), 2 * TB)
    old = Plan(Path(__file__).parent, llama_config(), shape, recipe, 2 * TB)
    assert any("remove_duplicated_kv_heads=true" in problem for problem in problems(old, machine))
    settled = dataclasses.replace(old, recipe=overridden(recipe, ["remove_duplicated_kv_heads=true"]))
    assert problems(settled, machine) == []


def test_converting_whole_models_takes_their_size_in_memory(tmp_path: Path) -> None:
    model = write_llama(tmp_path / "model")
    with (model / "model-00001-of-00002.safetensors").open("r+b") as file:
        file.truncate(40 * 10**9)  # sparse
    found = told("llama-3.1-8b-bf16", memory=36 * 10**9, folder=model)
    assert "36 GB of host memory are available, about 40 GB are needed; use a machine with more." in found


def test_a_converting_worker_takes_the_memory_of_its_rank(tmp_path: Path) -> None:
    """Whatever load_by_shard says: upstream's unified converter does not look at it."""
    plan = Plan(tmp_path, llama_config(), LLAMA_3_1["405b"], find_recipe("llama-3.1-405b-bf16"), 2 * TB)
    checkpoint, _ = host_bytes(plan, 8)
    assert checkpoint == pytest.approx(2 * 812e9 / 16, rel=0.01)
    by_shard = overridden(plan.recipe, ["load_by_shard=true"])
    assert host_bytes(dataclasses.replace(plan, recipe=by_shard), 8)[0] == checkpoint


@pytest.mark.parametrize(
    ("limit", "expected"), [("max", 2048 * 1024), ("1000", 1000), (str(TB), 2048 * 1024)]
)
def test_memory_is_the_containers_where_that_is_less(limit: str, expected: int, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  4096 kB\nMemAvailable:   2048 kB\n")
    (tmp_path / "limit").write_text(limit + "\n")
    assert available_memory(tmp_path / "meminfo", tmp_path / "limit") == expected
    assert available_memory(tmp_path / "meminfo", tmp_path / "absent") == 2048 * 1024
