"""Plain values <-> tensors of Triton's gRPC messages, by the types that config.pbtxt declares."""

import struct
from array import array
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2

from frontend.errors import EngineFailed

TensorValue: TypeAlias = "str | bool | int | float | Sequence[int] | Sequence[float] | Sequence[str]"

_DATA_TYPES = model_config_pb2.DataType
BOOL = _DATA_TYPES.TYPE_BOOL
INT32 = _DATA_TYPES.TYPE_INT32
_NUMPY_TYPES = {
    BOOL: np.dtype(np.bool_),
    INT32: np.dtype("<i4"),
    _DATA_TYPES.TYPE_UINT64: np.dtype("<u8"),
    _DATA_TYPES.TYPE_FP32: np.dtype("<f4"),
}


def add_input(
    request: service_pb2.ModelInferRequest,
    name: str,
    value: TensorValue,
    data_type: int,
    rank: int = 2,
) -> None:
    """Appends one input of batch size 1: n values have the shape [1, n], or [1, 1, n] of rank 3."""
    values = [value] if isinstance(value, (str, bool, int, float)) else value
    tensor = request.inputs.add(
        name=name, datatype=datatype_name(data_type), shape=[*[1] * (rank - 1), len(values)]
    )
    if tensor.datatype == "BYTES":
        request.raw_input_contents.append(b"".join(_length_prefixed(str(text).encode()) for text in values))
    else:
        request.raw_input_contents.append(np.asarray(values, _NUMPY_TYPES[data_type]).tobytes())


def read_outputs(response: service_pb2.ModelInferResponse) -> dict[str, bytes]:
    return {
        tensor.name: raw for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def read_ids(raw: bytes) -> list[int]:
    # Half the time of NumPy's for the one id of a token.
    return array("i", raw).tolist()


def read_floats(raw: bytes, skip: int = 0) -> list[float]:
    """The values behind the first `skip`, which are not even looked at."""
    return list(np.frombuffer(raw, "<f4")[skip:].tolist())


def read_byte_strings(raw: bytes) -> list[bytes]:
    """Elements of a BYTES tensor: each is a little-endian uint32 length and that many bytes."""
    strings = []
    offset = 0
    while offset < len(raw):
        (length,) = struct.unpack_from("<I", raw, offset)
        offset += 4
        if offset + length > len(raw):
            raise EngineFailed("The engine answered with a malformed tensor.")
        strings.append(raw[offset : offset + length])
        offset += length
    return strings


def _length_prefixed(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def datatype_name(data_type: int) -> str:
    """How gRPC messages spell a type of model_config_pb2.DataType."""
    name = _DATA_TYPES.Name(data_type).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name
