"""What the frontend knows of the model it serves: read from the config.pbtxt files over gRPC."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tritonclient.grpc import model_config_pb2

from frontend.errors import EngineFailed
from frontend.triton.tensors import datatype_name

ENGINE_MODEL = "tensorrt_llm"
# What every generation needs, and its stop request.
_ENSEMBLE_INPUTS = (
    "messages", "text_input", "prompt_ids", "max_tokens", "seed", "stream",
    "temperature", "top_k", "top_p", "exclude_input_in_output", "return_num_input_tokens",
)  # fmt: skip
_ENSEMBLE_OUTPUTS = ("output_ids", "num_input_tokens", "num_output_tokens", "cum_log_probs")
# All that it has: Triton asks the engine for whatever the ensemble maps, and keeps what nobody asked the
# ensemble for until the request ends. TensorRT-LLM's backend refuses who does not ask for sequence_length.
IDS_OUTPUTS = ("output_ids", "sequence_length", "kv_cache_reused_blocks", "num_input_tokens")
_ENGINE_INPUTS = ("input_lengths", "request_output_len", "stop")
# The ensemble and the engine call it the same.
LORA_INPUT = "lora_task_id"
# They drop outputs that nobody asked for in the model's own process.
_DROPPING_BACKENDS = ("python", "engine_process")

_Named: TypeAlias = "model_config_pb2.ModelInput | model_config_pb2.ModelOutput"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Facts of one ensemble; ids are token ids, lengths are in tokens."""

    name: str
    """What clients put into `model`."""
    ensemble: str
    ids_ensemble: str
    """The leaner one, for generations without log-probs."""
    max_model_len: int
    max_num_seqs: int
    """Generations that the engine runs at once; further ones wait in it."""
    end_id: int
    stop_ids: frozenset[int]
    special_ids: frozenset[int]
    vocab_size: int
    """Ids from 0 to the last that has bytes."""
    vocabulary: Sequence[bytes] = field(compare=False, repr=False)
    """The bytes of each id; empty before they were asked for."""
    input_types: Mapping[str, int]
    """Input of the ensemble or of preprocess -> its type in model_config_pb2.DataType."""
    output_datatypes: Mapping[str, str]
    """Output of either ensemble -> its type as in gRPC messages."""
    tokens_per_block: int | None
    """Of a block of the engine's KV cache; None: the engine does not tell what it reused."""
    sends_all_metrics: bool
    """Whether its responses have all ten outputs of return_perf_metrics, asked for or not."""
    engine_inputs: frozenset[str]
    """Inputs of the engine that it honours."""
    adapters: Mapping[str, int]
    """LoRA adapters: what clients put into `model` -> the engine's task id."""
    created: int = field(compare=False)
    """Unix time at which the frontend first saw the model."""
    longest_token: int = field(default=0, compare=False)
    """In bytes; 0 before the vocabulary was asked for."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that `model` may be: the model itself, then its adapters."""
        return (self.name, *self.adapters)


def ensemble_steps(ensemble: model_config_pb2.ModelConfig) -> tuple[str, ...]:
    """Names of the models that the ensemble runs, in order."""
    return tuple(step.model_name for step in ensemble.ensemble_scheduling.step)


def ids_ensemble(ensemble: model_config_pb2.ModelConfig) -> str:
    """Name of the ensemble for generations without log-probs; raises EngineFailed."""
    name: str = ensemble.parameters["ids_ensemble"].string_value
    if not name:
        raise EngineFailed(f"The configuration of {ensemble.name} has no ids_ensemble.")
    return name


def served_model(
    ensemble: model_config_pb2.ModelConfig,
    ids: model_config_pb2.ModelConfig,
    steps: Mapping[str, model_config_pb2.ModelConfig],
    created: int,
) -> ServedModel:
    """Raises EngineFailed when a tensor or a parameter is missing or malformed."""
    parameters = {
        key: value.string_value
        for config in (*steps.values(), ensemble)
        for key, value in config.parameters.items()
    }
    try:
        _require_tensors(ensemble.name, "input", ensemble.input, _ENSEMBLE_INPUTS)
        _require_tensors(ensemble.name, "output", ensemble.output, _ENSEMBLE_OUTPUTS)
        _require_tensors(ids.name, "input", ids.input, _ENSEMBLE_INPUTS)
        _require_tensors(ids.name, "output", ids.output, IDS_OUTPUTS)
        _require_tensors(ENGINE_MODEL, "input", steps[ENGINE_MODEL].input, _ENGINE_INPUTS)
        name = parameters["served_model_name"]
        engine_inputs = _engine_inputs(steps[ENGINE_MODEL])
        return ServedModel(
            name=name,
            ensemble=ensemble.name,
            ids_ensemble=ids.name,
            max_model_len=int(parameters["max_model_len"]),
            max_num_seqs=int(parameters["max_num_seqs"]),
            end_id=int(parameters["end_id"]),
            stop_ids=frozenset(_ids(parameters["stop_ids"])),
            special_ids=frozenset(_ids(parameters["special_ids"])),
            vocab_size=int(parameters["vocab_size"]),
            output_datatypes={
                tensor.name: datatype_name(tensor.data_type)
                for config in (ensemble, ids)
                for tensor in config.output
            },
            input_types={
                tensor.name: tensor.data_type
                for config in (steps["preprocess"], ensemble)
                for tensor in config.input
            },
            tokens_per_block=_tokens_per_block(steps[ENGINE_MODEL], engine_inputs),
            sends_all_metrics=steps[ENGINE_MODEL].backend not in _DROPPING_BACKENDS,
            engine_inputs=engine_inputs,
            adapters=_adapters(parameters.get("lora_adapters", ""), name, engine_inputs),
            created=created,
            vocabulary=(),
        )
    except (KeyError, ValueError) as error:
        raise EngineFailed(f"The model repository's configuration is incomplete: {error}.") from error


def _tokens_per_block(engine: model_config_pb2.ModelConfig, engine_inputs: frozenset[str]) -> int | None:
    if "return_perf_metrics" not in engine_inputs:
        return None
    return int(engine.parameters["tokens_per_block"].string_value or 0) or None


def _require_tensors(model: str, kind: str, tensors: Iterable[_Named], required: Sequence[str]) -> None:
    lacking = set(required).difference(tensor.name for tensor in tensors)
    if lacking:
        raise ValueError(f"{model} lacks the {kind} {min(lacking)}")


def _engine_inputs(engine: model_config_pb2.ModelConfig) -> frozenset[str]:
    refused = engine.parameters["unsupported_inputs"].string_value.split(",")
    return frozenset(tensor.name for tensor in engine.input).difference(refused)


def _adapters(text: str, base: str, engine_inputs: frozenset[str]) -> dict[str, int]:
    """`name=task id`, comma separated."""
    adapters: dict[str, int] = {}
    for item in filter(None, text.split(",")):
        name, _, task_id = (part.strip() for part in item.rpartition("="))
        if name in ("", base, *adapters) or not task_id.isdecimal():
            raise ValueError(f"lora_adapters has {item!r}, which is no new name=task id")
        adapters[name] = int(task_id)
    if len(set(adapters.values())) < len(adapters) or max(adapters.values(), default=0) >= 2**64:
        raise ValueError(f"lora_adapters needs a uint64 of its own for each adapter, not {text!r}")
    if adapters and LORA_INPUT not in engine_inputs:
        raise ValueError("lora_adapters names adapters, but this engine has none")
    return adapters


def _ids(text: str) -> list[int]:
    """`0-2,7` -> 0, 1, 2, 7."""
    ids: list[int] = []
    for item in filter(None, text.split(",")):
        first, _, last = item.partition("-")
        ids.extend(range(int(first), int(last or first) + 1))
    return ids
