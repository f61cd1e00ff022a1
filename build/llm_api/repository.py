"""The model repository of TensorRT-LLM's LLM API: a Python model in place of the CPU engine's.

It keeps the committed tensors; its code is build/llm_api/model, and what it shares with the CPU engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import model_config_pb2

from build.engine_folder import REPOSITORY, copy_file
from build.errors import BuildError
from build.manifest import Manifest, tree_files
from build.repository import (
    COMMITTED,
    CONFIG,
    ENGINE_MODEL,
    copy_models,
    parameters,
    read_config,
    write_config,
)

MODEL = Path(__file__).with_name("model")
# What engines in Python have in common, a folder of the CPU engine's that knows nothing of it.
SHARED = "contract"
ADAPTERS = "lora"

# What one may change with CONFIG, and what it is otherwise.
OVERRIDABLE: Mapping[str, str] = {
    # Of what weights and activations leave free: NVIDIA's default.
    "kv_cache_free_gpu_mem_fraction": "0.9",
    # auto: as the checkpoint says, which is FP8 in NVIDIA's FP8 checkpoints.
    "kv_cache_dtype": "auto",
    # Tokens of one step; the recipes' number.
    "max_num_tokens": "8192",
    "tokens_per_block": "32",
}
# Must equal what build/llm_api/model/1/llm_api_settings.py says, which the model checks when it loads.
_UNSUPPORTED = (
    "beam_width",
    "num_return_sequences",
    "len_penalty",
    "return_context_logits",
    "return_generation_logits",
    "num_prompt_log_probs",
    "lora_weights",
    "lora_config",
)
_ADAPTER_INPUT = "lora_task_id"
_MARK = "checkpoint_dir"


@dataclass(frozen=True)
class LlmApiServing:
    """How an engine is served; one rank is one GPU of one machine."""

    checkpoint: Path
    tensor_parallel: int
    pipeline_parallel: int
    max_num_seqs: int

    @property
    def world_size(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel


def render_llm_api_repository(
    manifest: Manifest,
    serving: LlmApiServing,
    target: Path,
    *,
    adapters: Mapping[str, int],
    overrides: Mapping[str, str],
    committed: Path = COMMITTED,
) -> None:
    """adapters: LoRA adapters' names and task ids, which name their folders in ADAPTERS."""
    for name in overrides:
        if name not in OVERRIDABLE:
            raise BuildError(f"{name} can't be set; one of {', '.join(sorted(OVERRIDABLE))} can.")
    own = committed / ENGINE_MODEL
    values = parameters(manifest) | {
        "lora_adapters": ",".join(f"{name}={task_id}" for name, task_id in adapters.items()),
        # Part of every installation of TensorRT-LLM, in the version of its engines.
        "guide_check": "xgrammar",
    }
    copy_models(
        values, [path for path in tree_files(committed) if own not in path.parents], target, committed
    )
    version = target / ENGINE_MODEL / "1"
    version.mkdir(parents=True)
    for path in (MODEL / "1").glob("*.py"):
        copy_file(path, version / path.name)
    (version / SHARED).mkdir()
    for path in (own / "1" / SHARED).glob("*.py"):
        copy_file(path, version / SHARED / path.name)
    config = _config(
        read_config(own / CONFIG), _parameters(manifest, serving, bool(adapters)) | dict(overrides)
    )
    write_config(config, target / ENGINE_MODEL / CONFIG)


def read_llm_api(folder: Path) -> LlmApiServing | None:
    """How an engine folder is served; None when it is another engine's. Raises BuildError."""
    path = folder / REPOSITORY / ENGINE_MODEL / CONFIG
    values = read_config(path).parameters if path.is_file() else {}
    if _MARK not in values:
        return None
    counts = (
        int(values[name].string_value) for name in ("tensor_parallel", "pipeline_parallel", "max_num_seqs")
    )
    return LlmApiServing(Path(values[_MARK].string_value), *counts)


def _parameters(manifest: Manifest, serving: LlmApiServing, has_adapters: bool) -> dict[str, str]:
    unsupported = _UNSUPPORTED if has_adapters else (*_UNSUPPORTED, _ADAPTER_INPUT)
    return dict(OVERRIDABLE) | {
        "engine_dir": "..",
        _MARK: str(serving.checkpoint),
        "lora_dir": ADAPTERS if has_adapters else "",
        "unsupported_inputs": ",".join(unsupported),
        "max_model_len": str(manifest.limits.max_model_len),
        "max_num_seqs": str(serving.max_num_seqs),
        "tensor_parallel": str(serving.tensor_parallel),
        "pipeline_parallel": str(serving.pipeline_parallel),
    }


def _config(own: model_config_pb2.ModelConfig, values: Mapping[str, str]) -> model_config_pb2.ModelConfig:
    config = model_config_pb2.ModelConfig()
    config.CopyFrom(own)
    # Part of NVIDIA's image, for which engine_process would have to be compiled.
    config.backend = "python"
    config.ClearField("parameters")
    for name, value in values.items():
        config.parameters[name].string_value = value
    return config
