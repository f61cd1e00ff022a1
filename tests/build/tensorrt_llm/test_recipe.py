"""Recipes are valid, fit the GPUs that their first line names, and can be overridden flag by flag."""

import re
from pathlib import Path

import pytest

from build.checkpoint.shapes import LLAMA_3_1
from build.errors import BuildError
from build.gpus import Gpus, named_gpus
from build.tensorrt_llm.preflight import Machine, Plan, problems
from build.tensorrt_llm.recipe import RECIPES, Recipe, choose_recipe, find_recipe, overridden, read_recipe
from build.tensorrt_llm.toolchain import Tools
from tests.build.tensorrt_llm.llama_folder import llama_config
from tests.build.tensorrt_llm.standin_program import upstream_parser

TB = 10**12
TOOLS = Tools("python3", Path("/app/examples"))
ALL = sorted(path.stem for path in RECIPES.glob("*.toml"))
# What each recipe is for: the smallest machine that it must fit, and a smaller one that it must not.
MACHINES = {
    "llama-3.1-8b-bf16": ("A100-40GB", "L4"),
    "llama-3.1-8b-fp8": ("L4", "A100-80GB"),
    "llama-3.1-8b-int4-awq": ("A10G", None),
    "llama-3.1-70b-bf16": ("4xA100-80GB", "4xA100-40GB"),
    "llama-3.1-70b-fp8": ("4xH100", "2xH100"),
    "llama-3.1-70b-int4-awq": ("4xH100", "1xL40S"),
    "llama-3.1-405b-bf16": ("8xH100", "8xA100-40GB"),
    "llama-3.1-405b-fp8-rowwise": ("8xH100", "8xA100-80GB"),
}


def size(recipe: Recipe) -> str:
    return recipe.name.split("-")[2]


def told(recipe: Recipe, gpus: Gpus, folder: Path) -> list[str]:
    shape = LLAMA_3_1[size(recipe)]
    plan = Plan(folder, llama_config(), shape, recipe, 2 * TB)
    return problems(plan, Machine(gpus, 2 * TB))


def test_every_size_and_precision_has_its_recipe() -> None:
    assert set(ALL) == set(MACHINES)


@pytest.mark.parametrize("name", ALL)
def test_recipe_makes_commands_that_upstream_takes(name: str) -> None:
    recipe = find_recipe(name)
    assert name == f"llama-3.1-{size(recipe)}-{recipe.precision}"
    checkpoint = TOOLS.checkpoint(recipe, Path("/model"), Path("/checkpoint"))
    given = upstream_parser(recipe.tool).parse_args(checkpoint[2:])
    assert (given.tp_size, given.pp_size) == (recipe.tp_size, recipe.pp_size)
    engine = TOOLS.engine(recipe, Path("/checkpoint"), Path("/engine"), 8)
    built = upstream_parser("build").parse_args(engine[1:])
    assert built.use_paged_context_fmha == "enable"
    assert built.workers == min(recipe.world_size, 8)


@pytest.mark.parametrize("name", ALL)
def test_recipe_fits_what_it_is_for(name: str, tmp_path: Path) -> None:
    recipe, (enough, too_little) = find_recipe(name), MACHINES[name]
    assert told(recipe, named_gpus(enough), tmp_path) == []
    if too_little:
        assert told(recipe, named_gpus(too_little), tmp_path)


@pytest.mark.parametrize("name", ALL)
def test_recipe_says_why_of_each_number(name: str) -> None:
    lines = (RECIPES / f"{name}.toml").read_text().splitlines()
    assert lines[0].startswith("# Llama 3.1 ")
    numbers = [line for line in lines if re.match(r"\w+ = \d", line)]
    assert len(numbers) >= 7
    assert all(re.search(r" # .{10}", line) for line in numbers)


@pytest.mark.parametrize(
    ("model", "precision", "name"),
    [
        ("8b", "fp8", "llama-3.1-8b-fp8"),
        ("70b", "int4-awq", "llama-3.1-70b-int4-awq"),
        ("405b", "fp8-rowwise", "llama-3.1-405b-fp8-rowwise"),
        ("405b", "fp8", None),
    ],
)
def test_recipe_is_chosen_by_size_and_precision(model: str, precision: str, name: str | None) -> None:
    chosen = choose_recipe(LLAMA_3_1[model], precision)
    assert (chosen.name if chosen else None) == name


def test_users_can_bring_their_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((RECIPES / "llama-3.1-8b-bf16.toml").read_text().replace("256", "99"))
    assert find_recipe(str(path)).build["max_batch_size"] == 99


def test_settings_go_to_the_command_that_knows_them() -> None:
    recipe = overridden(
        find_recipe("llama-3.1-70b-fp8"),
        ["tp_size=8", "calib_size=64", "max_batch_size=32", "build.workers=2", "gpus_per_node=4"],
    )
    assert (recipe.checkpoint["tp_size"], recipe.checkpoint["calib_size"]) == (8, 64)
    assert (recipe.build["max_batch_size"], recipe.build["workers"]) == (32, 2)
    assert recipe.gpus_per_node == 4
    assert recipe.world_size == 8


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("max_batch_size", "is not of the form name=value"),
        ("max_batch_size=", "is not of the form name=value"),
        ("max_batch_size=x", "must be of type int"),
        ("unknown=1", "neither quantize nor trtllm-build has a flag 'unknown'"),
        ("engine.workers=1", "a prefix is checkpoint or build"),
        ("output_dir=/tmp", "is set by the build itself"),
        ("lora_plugin=auto", "is set by the build itself"),
        ("checkpoint.max_batch_size=4", "neither quantize nor"),
        ("gpus_per_node=0", "must be a whole number above 0"),
        ("gpus_per_node=four", "must be a whole number above 0"),
    ],
)
def test_odd_settings_are_refused(setting: str, part: str) -> None:
    with pytest.raises(BuildError, match=part):
        overridden(find_recipe("llama-3.1-8b-fp8"), [setting])


def test_flags_of_both_commands_need_a_prefix() -> None:
    with pytest.raises(BuildError, match=r"say checkpoint\.workers or build\.workers"):
        overridden(find_recipe("llama-3.1-8b-bf16"), ["workers=2"])


GOOD = """precision = "bf16"
num_hidden_layers = 2
hidden_size = 8
[convert_checkpoint]
[build]
max_seq_len = 9
"""


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("= 1", "is not TOML"),
        (GOOD.replace('"bf16"', '"fp3"'), "precision must be one of bf16"),
        (GOOD.replace('precision = "bf16"\n', ""), "lacks 'precision'"),
        (GOOD.replace("[convert_checkpoint]\n", ""), "expected one of convert_checkpoint, quantize"),
        (GOOD.replace("[build]", "[quantize]\n[build]"), "expected one of"),
        ("speed = 1\n" + GOOD, "odd are \\['speed'\\]"),
        (GOOD + "max_batch = 1\n", "build has no flag --max_batch"),
        (GOOD + 'max_batch_size = "x"\n', "must be of type int"),
        (GOOD.replace("max_seq_len = 9\n", ""), "must set max_seq_len"),
        (GOOD.replace("= 9", "= 0"), "must set max_seq_len"),
        (GOOD.replace("= 8", '= "8"'), "is no whole number above 0"),
        (GOOD.replace("= 2", "= 0"), "is no whole number above 0"),
    ],
)
def test_bad_recipes_are_refused(text: str, part: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BuildError, match=part):
        read_recipe(path)


@pytest.mark.parametrize("name", ["llama-9", "/nowhere/x.toml"])
def test_absent_recipes_are_told(name: str) -> None:
    with pytest.raises(BuildError, match=r"known are llama-3\.1-405b-bf16|There is no file /nowhere"):
        find_recipe(name)
