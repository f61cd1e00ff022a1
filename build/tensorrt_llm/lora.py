"""LoRA adapters: what may be converted, which flags the engine needs for them, and the files that result."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from build.errors import BuildError
from build.tensorrt_llm.checkpoint_files import file_problem, safetensors_header
from build.tensorrt_llm.flags import Value
from build.tensorrt_llm.recipe import Recipe

WEIGHTS, CONFIG = "model.lora_weights.npy", "model.lora_config.npy"

_SOURCE = "adapter_model.safetensors"
# What vLLM and Hugging Face use; a comma or an equals sign would end it in the ensemble's lora_adapters.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
_TENSOR = re.compile(r".*\.layers\.\d+\.(?:self_attn|mlp)\.([a-z_]+)\.lora_(A|B)(?:\.default)?\.weight")
# Hugging Face's names of the layers that an adapter may change, as hf_lora_convert.py translates them.
_MODULES: Mapping[str, str] = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_dense",
    "gate_proj": "mlp_h_to_4h",
    "down_proj": "mlp_4h_to_h",
    "up_proj": "mlp_gate",
}
# module, layer, rank; upstream writes a fourth, is_dora, for which its config.pbtxt of 1.2 has no room.
_CONFIG_COLUMNS = 3


@dataclass(frozen=True)
class Adapter:
    """An adapter by clients' name for it; modules are TensorRT-LLM's names of the layers it changes."""

    name: str
    path: Path
    rank: int
    modules: frozenset[str]


def read_adapters(settings: Iterable[str]) -> tuple[Adapter, ...]:
    """Reads settings of the form name=folder; raises BuildError for the first that can't be used."""
    adapters = tuple(_read(setting) for setting in settings)
    names = [adapter.name for adapter in adapters]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BuildError(f"LORA: {twice[0]} is given twice.")
    return adapters


def with_adapters(recipe: Recipe, adapters: Sequence[Adapter], settings: Iterable[str]) -> Recipe:
    """The recipe of an engine that can take these adapters; what `settings` name stays as it is."""
    if not adapters:
        return recipe
    if recipe.precision == "fp8-rowwise":
        raise BuildError("LORA: upstream documents no adapters on FP8 rowwise; give PRECISION=fp8 or bf16.")
    given = {setting.partition("=")[0].rpartition(".")[2] for setting in settings}
    # Triton's tensor lora_weights is FP16, and the executor wants the adapter in the engine's own type.
    checkpoint: dict[str, Value] = {"dtype": "float16"}
    build: dict[str, Value] = {
        "lora_plugin": "auto",
        "lora_target_modules": sorted(set[str]().union(*(adapter.modules for adapter in adapters))),
        "max_lora_rank": max(adapter.rank for adapter in adapters),
    }
    # Kernels that fuse past the place where the adapter's part is added: upstream shows no example of both.
    build |= {name: "disable" for name in ("reduce_fusion", "user_buffer") if name in recipe.build}
    kept = {name: value for name, value in build.items() if name not in given}
    if "dtype" in given:
        checkpoint = {}
    return replace(recipe, checkpoint={**recipe.checkpoint, **checkpoint}, build={**recipe.build, **kept})


def check_converted(folder: Path) -> None:
    """Checks what hf_lora_convert.py left and brings its config to the columns that Triton's tensor has."""
    try:
        weights = np.load(folder / WEIGHTS, mmap_mode="r")
        config = np.load(folder / CONFIG)
    except (OSError, ValueError) as error:
        raise BuildError(f"hf_lora_convert.py left no adapter in {folder}: {error}.") from error
    has_sizes = weights.ndim == config.ndim == 3 and weights.shape[:2] == config.shape[:2]
    if not has_sizes or config.shape[2] < _CONFIG_COLUMNS or weights.dtype != np.float16:
        raise BuildError(
            f"{folder} has weights {weights.dtype}{weights.shape} and config {config.shape}, expected "
            "float16 [1, rows, n] and [1, rows, 3 or 4]."
        )
    np.save(folder / CONFIG, np.ascontiguousarray(config[:, :, :_CONFIG_COLUMNS], dtype=np.int32))


def _read(setting: str) -> Adapter:
    name, equals, path = setting.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise BuildError(f"LORA: {setting!r} is not of the form name=folder.")
    folder = Path(path).expanduser().resolve()
    source = folder / _SOURCE
    if not (folder / "adapter_config.json").is_file() or not source.is_file():
        raise BuildError(f"LORA: {folder} lacks adapter_config.json or {_SOURCE} (pickles are refused).")
    problem = file_problem(source)
    if problem:
        raise BuildError(f"LORA: {problem}")
    return _adapter(name, folder, safetensors_header(source))


def _adapter(name: str, folder: Path, tensors: Mapping[str, Mapping[str, Sequence[int]]]) -> Adapter:
    modules: set[str] = set()
    ranks: set[int] = set()
    for key, tensor in tensors.items():
        found = _TENSOR.fullmatch(key)
        if found is None or found[1] not in _MODULES:
            raise BuildError(f"LORA: {folder} changes {key}, which hf_lora_convert.py would leave out.")
        modules.add(_MODULES[found[1]])
        ranks.add(min(tensor["shape"]))
    if not ranks:
        raise BuildError(f"LORA: {folder} has no weights.")
    return Adapter(name, folder, max(ranks), frozenset(modules))
