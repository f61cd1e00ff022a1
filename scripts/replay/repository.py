"""Puts the replay engine in the place of another one, in a copy of that one's model repository."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from build.repository import CONFIG, read_config
from scripts.failure import Failure
from scripts.paths import CACHE
from scripts.replay.options import ReplayOptions, read_options

ENGINE_MODEL = "tensorrt_llm"
MODEL = Path(__file__).parent / ENGINE_MODEL / "1"

# What the model reads; the other inputs that are declared are refused by the frontend, by name.
HONOURED_INPUTS = frozenset(
    {
        "input_ids",
        "input_lengths",
        "request_output_len",
        "num_return_sequences",
        "end_id",
        "pad_id",
        "stop_words_list",
        "bad_words_list",
        "embedding_bias",
        "temperature",
        "runtime_top_k",
        "runtime_top_p",
        "repetition_penalty",
        "min_tokens",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "return_log_probs",
        "return_num_input_tokens",
        "return_num_output_tokens",
        "exclude_input_in_output",
        "stop",
        "streaming",
        "lora_task_id",
        "lora_weights",
        "lora_config",
        "guided_decoding_guide_type",
        "guided_decoding_guide",
    }
)


def chosen_repository(engine: Path, repository: Path, variables: Mapping[str, str]) -> Path:
    """The engine's own repository, or with ENGINE=replay one where the replay engine has taken its place."""
    choice = variables.get("ENGINE", "")
    if not choice:
        return repository
    if choice != "replay":
        raise Failure(f"ENGINE must be replay or left out, not {choice!r}")
    # One for each server that may run at the same time.
    target = CACHE / f"replay-{variables.get('TRITON_GRPC_PORT') or 8001}" / "model_repository"
    render_replay(repository, engine, target, read_options(variables))
    return target


def render_replay(repository: Path, engine: Path, target: Path, options: ReplayOptions) -> None:
    """Copies the rendered repository of an engine folder, of which only the tokenizer is needed."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(repository, target, ignore=shutil.ignore_patterns("__pycache__"))
    # Beside the other engine's modules, some of which it uses.
    shutil.copytree(
        MODEL, target / ENGINE_MODEL / "1", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )
    for path in target.glob(f"*/{CONFIG}"):
        config = read_config(path)
        if path.parent.name == ENGINE_MODEL:
            _set_parameters(config, options)
        if "engine_dir" in config.parameters:
            config.parameters["engine_dir"].string_value = str(engine.resolve())
        path.write_text(text_format.MessageToString(config), encoding="utf-8")


def _set_parameters(config: model_config_pb2.ModelConfig, options: ReplayOptions) -> None:
    unsupported = sorted({tensor.name for tensor in config.input} - HONOURED_INPUTS)
    values = {
        **asdict(options),
        "engine_dir": "",
        "max_model_len": config.parameters["max_model_len"].string_value,
        "unsupported_inputs": ",".join(unsupported),
    }
    config.parameters.clear()
    for name, value in values.items():
        config.parameters[name].string_value = value
