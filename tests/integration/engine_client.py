"""A bare gRPC client of the model tensorrt_llm: tensors in, the responses' tensors out."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

MODEL = "tensorrt_llm"

_NUMPY_TYPES = {"INT32": np.int32, "INT64": np.int64, "FP32": np.float32}
_WIRE_TYPES: Mapping[type, tuple[str, type]] = {
    bool: ("BOOL", np.bool_),
    int: ("INT32", np.int32),
    float: ("FP32", np.float32),
}


@dataclass(frozen=True)
class Response:
    outputs: Mapping[str, NDArray[Any]]
    is_final: bool
    error: str

    @property
    def ids(self) -> list[int]:
        return [int(token_id) for token_id in self.outputs["output_ids"].ravel()]

    @property
    def error_body(self) -> Any:
        return json.loads(self.error[self.error.index("{") :])


class Stream:
    """The responses to one request: to be read to their end, or left early.

    After a cancellation that meets the final response, tritonserver 2.51 doesn't stop cleanly.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Iterator[Response]:
        for message in self._call:
            response = message.infer_response
            is_final = response.parameters["triton_final_response"].bool_param or bool(message.error_message)
            yield Response(_outputs(response), is_final, message.error_message)

    def leave(self) -> None:
        """Closes the connection's stream as a client does that no longer wants the answer."""
        self._call.cancel()


class EngineClient:
    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._request_ids = (f"engine-test-{number}" for number in itertools.count())

    def close(self) -> None:
        self._channel.close()

    def parameter(self, name: str) -> str:
        config = self._stub.ModelConfig(service_pb2.ModelConfigRequest(name=MODEL)).config
        return str(config.parameters[name].string_value)

    def stream(self, *, request_id: str | None = None, outputs: Iterable[str] = (), **tensors: Any) -> Stream:
        """All outputs are asked for unless some are named.

        An input is a bool, int, float or text, a list of ids, or an array with its batch dimension.
        """
        request = service_pb2.ModelInferRequest(
            model_name=MODEL, id=next(self._request_ids) if request_id is None else request_id
        )
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        for name in outputs:
            request.outputs.add(name=name)
        for name, value in {"input_lengths": 1, "request_output_len": 1, **tensors}.items():
            _add_input(request, name, value)
        return Stream(self._stub.ModelStreamInfer(iter([request])))

    def generate(self, **arguments: Any) -> list[Response]:
        return list(self.stream(**arguments))


def _add_input(request: service_pb2.ModelInferRequest, name: str, value: Any) -> None:
    data_type, array = _encode(name, value)
    request.inputs.add(name=name, datatype=data_type, shape=array.shape)
    raw = array.tobytes() if data_type != "BYTES" else len(value).to_bytes(4, "little") + value.encode()
    request.raw_input_contents.append(raw)


def _encode(name: str, value: Any) -> tuple[str, NDArray[Any]]:
    if isinstance(value, str):
        return "BYTES", np.empty((1, 1))
    if name == "seed":
        return "UINT64", np.array([[value]], np.uint64)
    if isinstance(value, np.ndarray):
        return {"i": "INT32", "f": "FP32"}[value.dtype.kind], value
    if isinstance(value, list):
        return "INT32", np.array([value], np.int32)
    data_type, numpy_type = _WIRE_TYPES[type(value)]
    return data_type, np.array([[value]], numpy_type)


def _outputs(response: service_pb2.ModelInferResponse) -> dict[str, NDArray[Any]]:
    return {
        tensor.name: np.frombuffer(raw, _NUMPY_TYPES[tensor.datatype]).reshape(tensor.shape)
        for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
