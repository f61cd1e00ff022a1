"""Recipes: which flags make an engine of one model in one precision, and how they are overridden."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from build.checkpoint.shapes import LlamaShape
from build.errors import BuildError
from build.tensorrt_llm.flags import Value, checked, flags_of, read_toml

RECIPES = Path(__file__).parent / "recipes"
PRECISIONS = ("bf16", "fp8", "fp8-rowwise", "int4-awq")

_TOOLS = ("convert_checkpoint", "quantize")
_ENGINE_TOOL = "build"
_FACTS = {"precision", "num_hidden_layers", "hidden_size", "gpus_per_node"}
# Upstream's default of the engine's mapping (tensorrt_llm/mapping.py), and the GPUs of a DGX or HGX node.
_GPUS_PER_NODE = 8
# Flags that the build itself gives.
_RESERVED = {"model_dir", "output_dir", "checkpoint_dir", "model_config", "build_config", "meta_ckpt_dir"}
_LORA_RESERVED = {"lora_plugin", "lora_dir", "lora_ckpt_source", "lora_target_modules", "max_lora_rank"}


@dataclass(frozen=True)
class Recipe:
    """The flags of `tool`, which makes the checkpoint, and those of trtllm-build."""

    name: str
    precision: str
    num_hidden_layers: int
    hidden_size: int
    gpus_per_node: int
    tool: str
    checkpoint: Mapping[str, Value]
    build: Mapping[str, Value]

    def __post_init__(self) -> None:
        numbers = (self.num_hidden_layers, self.hidden_size, self.gpus_per_node)
        if not all(isinstance(number, int) and number > 0 for number in numbers):
            raise BuildError(f"The recipe {self.name} has a size {numbers} that is no whole number above 0.")
        if min(self.tp_size, self.pp_size, self.max_seq_len) < 1:
            raise BuildError(f"The recipe {self.name} has no tp_size, pp_size and max_seq_len above 0.")

    @property
    def tp_size(self) -> int:
        return self._number(self.tool, "tp_size")

    @property
    def pp_size(self) -> int:
        return self._number(self.tool, "pp_size")

    @property
    def world_size(self) -> int:
        return self.tp_size * self.pp_size

    @property
    def max_seq_len(self) -> int:
        return self._number(_ENGINE_TOOL, "max_seq_len")

    @property
    def max_batch_size(self) -> int:
        return self._number(_ENGINE_TOOL, "max_batch_size")

    @property
    def max_num_tokens(self) -> int:
        return self._number(_ENGINE_TOOL, "max_num_tokens")

    @property
    def is_kv_cache_8_bit(self) -> bool:
        given = self.checkpoint
        return bool(given.get("kv_cache_dtype") or given.get("fp8_kv_cache") or given.get("int8_kv_cache"))

    @property
    def checkpoint_workers(self) -> int:
        return self._number(self.tool, "workers") if self.tool == "convert_checkpoint" else 1

    def engine_workers(self, num_gpus: int) -> int:
        """Ranks that are compiled at the same time, one on each GPU, unless the recipe says otherwise."""
        given = self.build.get("workers")
        return given if isinstance(given, int) else max(1, min(self.world_size, num_gpus))

    def options(self) -> dict[str, str]:
        """All that the engine depends on, as text."""
        flags = {f"checkpoint.{name}": value for name, value in self.checkpoint.items()}
        flags |= {f"build.{name}": value for name, value in self.build.items()}
        return {
            "tool": self.tool,
            "gpus_per_node": str(self.gpus_per_node),
            **{k: str(v) for k, v in flags.items()},
        }

    def _number(self, command: str, name: str) -> int:
        given = self.build if command == _ENGINE_TOOL else self.checkpoint
        value = given.get(name, flags_of(command)[name].default)
        if not isinstance(value, int) or value < 1:
            raise BuildError(f"The recipe {self.name} must set {name} to a whole number above 0.")
        return value


def find_recipe(name: str, folder: Path = RECIPES) -> Recipe:
    """The recipe of this name, or the one in the file of this path."""
    if name.endswith(".toml"):
        return read_recipe(Path(name))
    path = folder / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise BuildError(
            f"RECIPE: there is none named {name!r}; known are {known}, or a path to a .toml file."
        )
    return read_recipe(path)


def choose_recipe(shape: LlamaShape, precision: str, folder: Path = RECIPES) -> Recipe | None:
    """The recipe for a model of this shape in this precision, if there is one."""
    for path in sorted(folder.glob("*.toml")):
        recipe = read_recipe(path)
        if recipe.precision == precision and is_for(recipe, shape):
            return recipe
    return None


def is_for(recipe: Recipe, shape: LlamaShape) -> bool:
    return (recipe.num_hidden_layers, recipe.hidden_size) == (shape.num_layers, shape.hidden)


def read_recipe(path: Path) -> Recipe:
    """Raises BuildError for an unknown key, a flag that upstream has not, or a value that it would refuse."""
    values = read_toml(path)
    tools = [tool for tool in _TOOLS if tool in values]
    unknown = values.keys() - _FACTS - {*tools, _ENGINE_TOOL}
    if unknown or len(tools) != 1:
        raise BuildError(
            f"{path}: expected one of {', '.join(_TOOLS)} and {_ENGINE_TOOL}; odd are {sorted(unknown)}."
        )
    try:
        return Recipe(
            name=path.stem,
            precision=_precision(path, values["precision"]),
            num_hidden_layers=values["num_hidden_layers"],
            hidden_size=values["hidden_size"],
            gpus_per_node=values.get("gpus_per_node", _GPUS_PER_NODE),
            tool=tools[0],
            checkpoint=_section(values, tools[0]),
            build=_section(values, _ENGINE_TOOL),
        )
    except KeyError as missing:
        raise BuildError(f"{path} lacks {missing}.") from missing


def overridden(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """The recipe with settings of the form name=value; a flag of both commands needs a prefix.

    Prefixes are `checkpoint.` and `build.`; `gpus_per_node` is a setting of its own.
    """
    checkpoint, build, gpus = dict(recipe.checkpoint), dict(recipe.build), recipe.gpus_per_node
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not value:
            raise BuildError(f"SET: {setting!r} is not of the form name=value.")
        if name == "gpus_per_node":
            gpus = _gpus_per_node(value)
            continue
        command, flag = _owner(recipe, name)
        (build if command == _ENGINE_TOOL else checkpoint)[flag] = checked(command, flag, value)
    return replace(recipe, checkpoint=checkpoint, build=build, gpus_per_node=gpus)


def _owner(recipe: Recipe, name: str) -> tuple[str, str]:
    prefix, dot, flag = name.rpartition(".")
    if dot and prefix not in ("checkpoint", "build"):
        raise BuildError(f"SET: {name}: a prefix is checkpoint or build, not {prefix!r}.")
    commands = {"checkpoint": [recipe.tool], "build": [_ENGINE_TOOL]}.get(prefix, [recipe.tool, _ENGINE_TOOL])
    owners = [command for command in commands if flag in flags_of(command)]
    if flag in _RESERVED | _LORA_RESERVED:
        raise BuildError(f"SET: {flag} is set by the build itself.")
    if not owners:
        raise BuildError(f"SET: neither {recipe.tool} nor trtllm-build has a flag {flag!r}.")
    if len(owners) > 1:
        raise BuildError(f"SET: {flag} is a flag of both commands; say checkpoint.{flag} or build.{flag}.")
    return owners[0], flag


def _section(values: Mapping[str, Any], command: str) -> dict[str, Value]:
    return {name: checked(command, name, value) for name, value in values[command].items()}


def _precision(path: Path, value: object) -> str:
    if value not in PRECISIONS:
        raise BuildError(f"{path}: precision must be one of {', '.join(PRECISIONS)}, not {value!r}.")
    return str(value)


def _gpus_per_node(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise BuildError(f"SET: gpus_per_node must be a whole number above 0, not {value!r}.")
    return int(value)
