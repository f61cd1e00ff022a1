"""What a compiled TensorRT-LLM engine says of itself in its config.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.engine_folder import ENGINE, MANIFEST
from build.errors import BuildError
from build.gpus import Gpus, driver_problem

# The last stable release with compiled engines; an engine runs on the release that built it alone.
TENSORRT_LLM_VERSION = "1.2.1"
CONFIG = "config.json"
# Of such an engine in its manifest.
KIND = "tensorrt_llm"

_KV_CACHE_TYPES = ("paged", "continuous", "disabled")
_SWITCHES: Mapping[object, bool] = {None: False, False: False, True: True, "disable": False, "enable": True}


@dataclass(frozen=True)
class TensorRtLlmEngine:
    """Lengths are in tokens; one rank is one GPU. Keys as trtllm-build writes them (builder.py)."""

    version: str
    tensor_parallel: int
    pipeline_parallel: int
    gpus_per_node: int
    vocab_size: int
    logits_dtype: str
    max_batch_size: int
    max_num_tokens: int
    max_seq_len: int
    max_beam_width: int
    tokens_per_block: int
    gathers_context_logits: bool
    gathers_generation_logits: bool
    has_paged_kv_cache: bool
    has_paged_context: bool
    has_lora: bool

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def num_nodes(self) -> int:
        """Machines that the ranks fill, gpus_per_node each."""
        return -(-self.world_size // self.gpus_per_node)

    @property
    def files(self) -> tuple[str, ...]:
        """What a whole engine folder holds at least."""
        return (CONFIG, *(f"rank{rank}.engine" for rank in range(self.world_size)))


def read_tensorrt_llm_engine(folder: Path) -> TensorRtLlmEngine:
    """Reads an engine folder; raises BuildError when a file or a key of it is missing or malformed."""
    path = folder / CONFIG
    try:
        engine = _parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BuildError(f"{folder} is no TensorRT-LLM engine: {CONFIG}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        told = f"{error} is missing" if isinstance(error, KeyError) else error
        writer = f"trtllm-build {TENSORRT_LLM_VERSION}"
        raise BuildError(f"{path} is not as {writer} writes it: {told}.") from error
    for name in engine.files:
        if not (folder / name).is_file():
            raise BuildError(
                f"{folder} lacks {name}: an engine of {engine.world_size} ranks has one of each."
            )
    return engine


def require_gpus(folder: Path, engine: TensorRtLlmEngine, gpus: Gpus, num_wanted: int) -> None:
    """Raises BuildError when the engine of an engine folder would not load on these GPUs of one machine."""
    if engine.version != TENSORRT_LLM_VERSION:
        raise BuildError(
            f"{folder / ENGINE / CONFIG}: built by TensorRT-LLM {engine.version}, and {TENSORRT_LLM_VERSION} "
            f"loads its own engines alone; build it again: make build-engines NAME={folder.name}"
        )
    if problem := driver_problem(gpus):
        raise BuildError(problem)
    built_on = _built_on(folder)
    if built_on not in (0, gpus.gpu.compute):
        raise BuildError(
            f"{folder / MANIFEST}: built for compute capability {built_on / 10}, and the {gpus.gpu.name} has "
            f"{gpus.gpu.compute / 10}; build it again here: make build-engines NAME={folder.name}"
        )
    if gpus.count < num_wanted:
        layout = f"TP={engine.tensor_parallel} PP={engine.pipeline_parallel}"
        raise BuildError(f"{folder} needs {num_wanted} GPUs ({layout}), and {gpus.count} are to be seen here")


def _built_on(folder: Path) -> int:
    """The compute capability, times ten, of the GPUs that compiled the engine; 0 where nobody wrote it."""
    try:
        compute = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("compute")
    except (OSError, ValueError, AttributeError):
        return 0
    return compute if isinstance(compute, int) else 0


def _parse(config: Mapping[str, Any]) -> TensorRtLlmEngine:
    model, build = config["pretrained_config"], config["build_config"]
    mapping, plugins = model["mapping"], build["plugin_config"]
    if mapping.get("cp_size", 1) != 1:
        raise ValueError("context parallelism is not served")
    return TensorRtLlmEngine(
        version=str(config["version"]),
        tensor_parallel=_count(mapping, "tp_size"),
        pipeline_parallel=_count(mapping, "pp_size"),
        gpus_per_node=_count(mapping, "gpus_per_node"),
        vocab_size=_count(model, "vocab_size"),
        logits_dtype=str(model.get("logits_dtype", "float32")),
        max_batch_size=_count(build, "max_batch_size"),
        max_num_tokens=_count(build, "max_num_tokens"),
        max_seq_len=_count(build, "max_seq_len"),
        max_beam_width=_count(build, "max_beam_width"),
        tokens_per_block=_count(plugins, "tokens_per_block"),
        gathers_context_logits=_switch(build, "gather_context_logits"),
        gathers_generation_logits=_switch(build, "gather_generation_logits"),
        has_paged_kv_cache=_has_paged_kv_cache(build, plugins),
        has_paged_context=_switch(plugins, "use_paged_context_fmha"),
        has_lora=plugins.get("lora_plugin") not in (None, False, "disable"),
    )


def _has_paged_kv_cache(build: Mapping[str, Any], plugins: Mapping[str, Any]) -> bool:
    """Upper case until the enumeration became Python's own (llmapi/kv_cache_type.py), lower case since."""
    value = build.get("kv_cache_type")
    if value is None:
        return _switch(plugins, "paged_kv_cache")
    name = str(value).rpartition(".")[2].lower()
    if name not in _KV_CACHE_TYPES:
        raise ValueError(f"kv_cache_type is {value!r}, known are {', '.join(_KV_CACHE_TYPES)}")
    return name == "paged"


def _switch(values: Mapping[str, Any], key: str) -> bool:
    """A flag as truth value, number or the command line's own word; off where it is absent."""
    value = values.get(key)
    if value not in _SWITCHES:
        raise ValueError(f"{key} is {value!r}")
    return _SWITCHES[value]


def _count(values: Mapping[str, Any], key: str) -> int:
    value = values[key]
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{key} is {value!r}")
    return value
