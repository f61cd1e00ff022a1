"""Puts the replay engine in the place of another one, in a copy of that one's model repository."""

import shutil
from dataclasses import asdict
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.repository import CONFIG, ENGINE_MODEL, read_config
from build.tensorrt_llm.config import render_config
from build.tensorrt_llm.engine import TENSORRT_LLM_VERSION, TensorRtLlmEngine
from scripts.replay.options import ReplayOptions

MODEL = Path(__file__).parent / ENGINE_MODEL / "1"
_CACHES = shutil.ignore_patterns("__pycache__")


def render_replay(repository: Path, engine: Path, target: Path, options: ReplayOptions) -> None:
    """Copies a rendered repository; of the engine folder, only the tokenizer is needed.

    `tensorrt_llm` gets the configuration of a compiled engine, so that all around it is as on a GPU.
    """
    copy_repository(repository, engine, target, options)
    # Beside the other engine's modules, some of which it uses.
    shutil.copytree(MODEL, target / ENGINE_MODEL / "1", ignore=_CACHES, dirs_exist_ok=True)


def copy_repository(repository: Path, engine: Path, target: Path, options: ReplayOptions) -> None:
    """All but the modules that write: the configurations say already that a replay engine is there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(repository, target, ignore=_CACHES)
    own = read_config(repository / ENGINE_MODEL / CONFIG)
    write_config(_config(own, options), target / ENGINE_MODEL / CONFIG)
    for path in target.glob(f"*/{CONFIG}"):
        config = read_config(path)
        values = {"engine_dir": str(engine.resolve()), "lora_adapters": options.lora_adapters}
        for name in values.keys() & config.parameters:
            config.parameters[name].string_value = values[name]
        write_config(config, path)


def _config(own: model_config_pb2.ModelConfig, options: ReplayOptions) -> model_config_pb2.ModelConfig:
    compiled = _compiled_engine(int(own.parameters["max_model_len"].string_value), options)
    text = render_config(compiled, own, has_guides=True, overrides={})
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    config.backend = own.backend
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


def write_config(config: model_config_pb2.ModelConfig, path: Path) -> None:
    path.write_text(text_format.MessageToString(config), encoding="utf-8")
