"""Puts a replay engine in the place of another one, in a copy of that one's model repository."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.errors import Failure
from build.native_library import compiled_library
from build.paths import CACHE, ROOT
from build.repository import CONFIG, ENGINE_MODEL, ENGINE_PROCESS, read_config, write_config
from build.tensorrt_llm.config import render_config
from build.tensorrt_llm.engine import TENSORRT_LLM_VERSION, TensorRtLlmEngine
from scripts.replay.check import MODEL, words_of
from scripts.replay.options import LACKING_INPUTS, ReplayOptions, read_options, require_native
from serving.backends import TRITON

NATIVE_BACKEND = "replay"
WORD_IDS = "word_ids.bin"
_CACHES = shutil.ignore_patterns("__pycache__")


def chosen_repository(engine: Path, repository: Path, variables: Mapping[str, str]) -> Path:
    """The engine's own repository, or with ENGINE one where a replay engine has taken its place."""
    choice = variables.get("ENGINE", "")
    if not choice:
        return repository
    render = {"replay": render_replay, "native-replay": render_native_replay}
    if choice not in render:
        raise Failure(f"ENGINE must be {' or '.join(render)} or left out, not {choice!r}")
    # One for each server that may run at the same time.
    target = CACHE / f"replay-{variables.get('TRITON_GRPC_PORT') or 8001}" / "model_repository"
    render[choice](repository, engine, target, read_options(variables))
    return target


def render_replay(repository: Path, engine: Path, target: Path, options: ReplayOptions) -> None:
    """Copies a rendered repository; of the engine folder, only the tokenizer is needed.

    `tensorrt_llm` gets the configuration of a compiled engine, so that all around it is as on a GPU.
    """
    _copy(repository, engine, target, options, ENGINE_PROCESS)
    # Beside the other engine's modules, some of which it uses.
    shutil.copytree(MODEL, target / ENGINE_MODEL / "1", ignore=_CACHES, dirs_exist_ok=True)


def render_native_replay(repository: Path, engine: Path, target: Path, options: ReplayOptions) -> None:
    """As render_replay; raises Failure for an option that is the other replay engine's alone."""
    require_native(options)
    _copy(repository, engine, target, options, NATIVE_BACKEND)
    folder = target / ENGINE_MODEL
    shutil.rmtree(folder / "1")
    (folder / "1").mkdir()
    shutil.copy2(native_replay_library(), folder)
    words_of(engine).ids.astype("<i4").tofile(folder / "1" / WORD_IDS)
    config = read_config(folder / CONFIG)
    config.parameters["unsupported_inputs"].string_value += "".join(f",{name}" for name in LACKING_INPUTS)
    write_config(config, folder / CONFIG)


def native_replay_library() -> Path:
    """Compiled once; raises Failure when it can't be."""
    return compiled_library(f"triton_{NATIVE_BACKEND}", [ROOT / "native" / "replay", TRITON])


def _copy(repository: Path, engine: Path, target: Path, options: ReplayOptions, backend: str) -> None:
    """All but the modules that write: the configurations say already that a replay engine is there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(repository, target, ignore=_CACHES)
    own = read_config(repository / ENGINE_MODEL / CONFIG)
    write_config(_config(own, options, backend), target / ENGINE_MODEL / CONFIG)
    for path in target.glob(f"*/{CONFIG}"):
        config = read_config(path)
        values = {"engine_dir": str(engine.resolve()), "lora_adapters": options.lora_adapters}
        for name in values.keys() & config.parameters:
            config.parameters[name].string_value = values[name]
        write_config(config, path)


def _config(
    own: model_config_pb2.ModelConfig, options: ReplayOptions, backend: str
) -> model_config_pb2.ModelConfig:
    compiled = _compiled_engine(int(own.parameters["max_model_len"].string_value), options)
    text = render_config(compiled, own, has_guides=True, overrides={})
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    config.backend = backend
    values = {**asdict(options), "engine_dir": "", "lora_task_ids": ",".join(_task_ids(options))}
    for name, value in values.items():
        config.parameters[name].string_value = value
    return config


def _task_ids(options: ReplayOptions) -> list[str]:
    """`alpha=3,beta=4` -> 3, 4."""
    return [adapter.rpartition("=")[2] for adapter in options.lora_adapters.split(",") if adapter]


def _compiled_engine(max_seq_len: int, options: ReplayOptions) -> TensorRtLlmEngine:
    """What trtllm-build would have to be told to make an engine that can do as much."""
    return TensorRtLlmEngine(
        version=TENSORRT_LLM_VERSION,
        tensor_parallel=1,
        pipeline_parallel=1,
        gpus_per_node=1,
        # The model reads it from the tokenizer.
        vocab_size=1,
        logits_dtype="float32",
        max_batch_size=int(options.max_num_seqs),
        max_num_tokens=max_seq_len,
        max_seq_len=max_seq_len,
        max_beam_width=1,
        tokens_per_block=int(options.tokens_per_block),
        gathers_context_logits=False,
        gathers_generation_logits=options.gather_generation_logits == "true",
        has_paged_kv_cache=True,
        has_paged_context=True,
        has_lora=bool(options.lora_adapters),
    )
