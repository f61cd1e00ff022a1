"""Renders the committed model repository for one engine."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.engine_folder import copy_file
from build.errors import BuildError
from build.manifest import Manifest, tree_files
from build.tensorrt_llm.config import TOKENIZER_INFO, render_config
from build.tensorrt_llm.engine import TensorRtLlmEngine

COMMITTED = Path(__file__).parent.parent / "model_repository"
CONFIG = "config.pbtxt"
ENGINE_MODEL = "tensorrt_llm"
# native/engine_process, which runs the same model.py as Triton's Python backend.
ENGINE_PROCESS = "engine_process"


def render_repository(manifest: Manifest, target: Path, committed: Path = COMMITTED) -> None:
    """Copies the models and sets the parameters of this engine, each wherever a model declares it."""
    copy_models(parameters(manifest), tree_files(committed), target, committed)
    path = target / ENGINE_MODEL / CONFIG
    config = read_config(path)
    config.backend = ENGINE_PROCESS
    # One text must have room.
    kv_tokens = config.parameters["max_tokens_in_paged_kv_cache"]
    kv_tokens.string_value = str(max(int(kv_tokens.string_value), manifest.limits.max_model_len))
    write_config(config, path)


def render_tensorrt_llm_repository(
    manifest: Manifest,
    engine: TensorRtLlmEngine,
    target: Path,
    *,
    adapters: Mapping[str, int],
    overrides: Mapping[str, str],
    committed: Path = COMMITTED,
) -> None:
    """The same for a compiled engine: its model has a configuration alone, NVIDIA's backend is the code.

    The engine folder is `target`'s parent. adapters: LoRA adapters' names and task ids, which name folders.
    overrides: parameters of tensorrt_llm's config.pbtxt and its queue settings, by name.
    """
    if adapters and not engine.has_lora:
        raise BuildError("LoRA adapters need an engine built with --lora_plugin.")
    has_guides = (target.parent / TOKENIZER_INFO).is_file()
    values = parameters(manifest) | {
        "max_model_len": str(engine.max_seq_len),
        "lora_adapters": ",".join(f"{name}={task_id}" for name, task_id in adapters.items()),
        # Part of every installation of TensorRT-LLM, in the version of its engines.
        "guide_check": "xgrammar" if has_guides else "engine",
    }
    own = committed / ENGINE_MODEL
    shared = [path for path in tree_files(committed) if own not in path.parents]
    copy_models(values, shared, target, committed)
    text = render_config(engine, read_config(own / CONFIG), has_guides=has_guides, overrides=overrides)
    (target / ENGINE_MODEL / "1").mkdir(parents=True)
    (target / ENGINE_MODEL / CONFIG).write_text(text, encoding="utf-8")


def parameters(manifest: Manifest) -> dict[str, str]:
    """The models' parameters that depend on the engine, as config.pbtxt spells them."""
    facts = manifest.tokenizer
    return {
        "engine_dir": "..",
        "max_model_len": str(manifest.limits.max_model_len),
        "end_id": str(facts.end_id),
        "stop_ids": ",".join(map(str, facts.stop_ids)),
        "special_ids": format_ranges(facts.special_ids),
        "vocab_size": str(facts.vocab_size),
        "logits_size": str(manifest.limits.vocab_size),
        "served_model_name": manifest.served_model_name,
    }


def format_ranges(ids: Iterable[int]) -> str:
    """Ascending ids as text: 0, 1, 2, 7 become 0-2,7."""
    ranges: list[list[int]] = []
    for index in sorted(ids):
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def read_config(path: Path) -> model_config_pb2.ModelConfig:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise BuildError(f"{path} is not a model configuration: {error}.") from error


def write_config(config: model_config_pb2.ModelConfig, path: Path) -> None:
    path.write_text(text_format.MessageToString(config), encoding="utf-8")


def copy_models(values: dict[str, str], files: Iterable[Path], target: Path, committed: Path) -> None:
    """Copies files of models and sets each parameter wherever one of them declares it; raises BuildError."""
    missing = set(values)
    for path in files:
        copy = target / path.relative_to(committed)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy_file(path, copy)
        if path.name == CONFIG:
            missing -= _set_parameters(copy, values)
    if missing:
        raise BuildError(f"No model in {committed} declares the parameter {min(missing)}.")


def _set_parameters(path: Path, values: dict[str, str]) -> set[str]:
    config = read_config(path)
    declared = set(values) & set(config.parameters)
    for name in declared:
        config.parameters[name].string_value = values[name]
    write_config(config, path)
    return declared
