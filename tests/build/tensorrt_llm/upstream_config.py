"""The recorded declarations of upstream's tensorrt_llm model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import model_config_pb2

RECORD = Path(__file__).with_name("upstream_tensorrt_llm_config.txt")


@dataclass(frozen=True)
class Tensor:
    """A declaration; data_type may be a template variable in upstream's record."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    is_optional: bool
    is_ragged: bool
    is_scalar: bool


def recorded_tensors(kind: str) -> dict[str, Tensor]:
    rows = [line.split() for line in _lines() if line.startswith(kind)]
    return {row[1]: _recorded(*row[1:]) for row in rows}


def recorded_parameters() -> set[str]:
    return {line.split()[1] for line in _lines() if line.startswith("parameter")}


def declared_inputs(config: model_config_pb2.ModelConfig) -> dict[str, Tensor]:
    return {
        tensor.name: Tensor(
            tensor.name,
            _type_name(tensor.data_type),
            tuple(tensor.dims),
            tensor.optional,
            tensor.allow_ragged_batch,
            tensor.HasField("reshape"),
        )
        for tensor in config.input
    }


def declared_outputs(config: model_config_pb2.ModelConfig) -> dict[str, Tensor]:
    return {
        tensor.name: Tensor(
            tensor.name,
            _type_name(tensor.data_type),
            tuple(tensor.dims),
            is_optional=False,
            is_ragged=False,
            is_scalar=tensor.HasField("reshape"),
        )
        for tensor in config.output
    }


def _recorded(name: str, data_type: str, dims: str, *marks: str) -> Tensor:
    sizes = tuple(int(size) for size in dims.split(","))
    return Tensor(name, data_type, sizes, "optional" in marks, "ragged" in marks, "scalar" in marks)


def _type_name(data_type: int) -> str:
    return model_config_pb2.DataType.Name(data_type).removeprefix("TYPE_")


def _lines() -> Iterable[str]:
    return RECORD.read_text(encoding="utf-8").splitlines()
