"""A bare tritonserver with tried_model.py behind one of the two backends that run such a model."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx2 as httpx
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serving import ports, tritonserver
from tests.patience import wait_until

START_S = 60
MODEL = "tensorrt_llm"
CONFIG = """
name: "tensorrt_llm"
backend: "%s"
max_batch_size: 8
model_transaction_policy { decoupled: true }
input [
  { name: "order"  data_type: TYPE_STRING dims: [ 1 ] reshape: { shape: [ ] } },
  { name: "texts"  data_type: TYPE_STRING dims: [ -1 ] optional: true },
  { name: "ints"   data_type: TYPE_INT32  dims: [ -1 ] optional: true },
  { name: "seed"   data_type: TYPE_UINT64 dims: [ 1 ] reshape: { shape: [ ] } optional: true },
  { name: "flags"  data_type: TYPE_BOOL   dims: [ -1, -1 ] optional: true },
  { name: "halves" data_type: TYPE_FP16   dims: [ -1 ] optional: true },
  { name: "floats" data_type: TYPE_FP32   dims: [ -1, -1, -1 ] optional: true }
]
output [
  { name: "same_ints"   data_type: TYPE_INT32  dims: [ -1 ] },
  { name: "same_seed"   data_type: TYPE_UINT64 dims: [ 1 ] reshape: { shape: [ ] } },
  { name: "same_flags"  data_type: TYPE_BOOL   dims: [ -1, -1 ] },
  { name: "same_halves" data_type: TYPE_FP16   dims: [ -1 ] },
  { name: "same_floats" data_type: TYPE_FP32   dims: [ -1, -1, -1 ] }
]
parameters [ { key: "start" value: { string_value: "%s" } } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
dynamic_batching { }
"""
_WIRE_TYPES = {"i4": "INT32", "u8": "UINT64", "b1": "BOOL", "f2": "FP16", "f4": "FP32"}
_NUMPY_TYPES = {name: np.dtype(kind) for kind, name in _WIRE_TYPES.items()}


@dataclass(frozen=True)
class Answer:
    tensors: Mapping[str, NDArray[Any]]
    is_final: bool
    error: str


class TriedServer:
    def __init__(self, process: "subprocess.Popen[bytes]", port: int, metrics_port: int, log: Path) -> None:
        self.process = process
        self.address = f"127.0.0.1:{port}"
        self.log = log
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(self.address))

    def call(self, order: str, request_id: str = "", outputs: Sequence[str] = (), **tensors: Any) -> Any:
        """The gRPC call; an input is texts, or an array with its batch dimension. No outputs are all."""
        request = service_pb2.ModelInferRequest(model_name=MODEL, id=request_id)
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        _add_texts(request, "order", [order])
        for name, value in tensors.items():
            _add(request, name, value)
        for name in outputs:
            request.outputs.add(name=name)
        return self._stub.ModelStreamInfer(iter([request]))

    def ask(self, order: str, **arguments: Any) -> list[Answer]:
        return [_answer(message) for message in self.call(order, **arguments)]

    def metrics(self) -> str:
        return httpx.get(self._metrics, verify=False).text

    def is_ready(self) -> bool:
        try:
            return bool(self._stub.ServerReady(service_pb2.ServerReadyRequest(), 2).ready)
        except grpc.RpcError:
            return False

    def said(self) -> str:
        return self.log.read_text()


@contextmanager
def tried_server(folder: Path, backend: str, start: str = "") -> Iterator[TriedServer]:
    """start: what the model does when it is loaded; see there."""
    with ready(start_server(folder, backend, start)) as server:
        yield server


@contextmanager
def ready(server: TriedServer) -> Iterator[TriedServer]:
    """Once it is; it ends with the context."""
    try:
        wait_until(lambda: server.process.poll() is not None or server.is_ready(), server.said, START_S)
        assert server.process.poll() is None, server.said()
        yield server
    finally:
        server.process.terminate()
        server.process.wait(60)


def start_server(folder: Path, backend: str, start: str = "") -> TriedServer:
    """Without waiting for it."""
    version = folder / "models" / MODEL / "1"
    version.mkdir(parents=True)
    shutil.copy2(Path(__file__).with_name("tried_model.py"), version / "model.py")
    (version.parent / "config.pbtxt").write_text(CONFIG % (backend, start))
    return start_tritonserver(folder / "models", folder / "tritonserver.log")


def start_tritonserver(repository: Path, log: Path) -> TriedServer:
    port, metrics_port = ports.free(), ports.free()
    command = tritonserver.command(repository, port, metrics_port=metrics_port)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=tritonserver.environment({}), stdout=output, stderr=subprocess.STDOUT
        )
    return TriedServer(process, port, metrics_port, log)


def _add_texts(request: service_pb2.ModelInferRequest, name: str, texts: list[str]) -> None:
    request.inputs.add(name=name, datatype="BYTES", shape=[1, len(texts)])
    encoded = [text.encode() for text in texts]
    request.raw_input_contents.append(b"".join(len(text).to_bytes(4, "little") + text for text in encoded))


def _add(request: service_pb2.ModelInferRequest, name: str, value: Any) -> None:
    if isinstance(value, list):
        return _add_texts(request, name, value)
    request.inputs.add(name=name, datatype=_WIRE_TYPES[value.dtype.str[1:]], shape=value.shape)
    request.raw_input_contents.append(value.tobytes())
    return None


def _answer(message: service_pb2.ModelStreamInferResponse) -> Answer:
    response = message.infer_response
    tensors = {
        tensor.name: np.frombuffer(raw, _NUMPY_TYPES[tensor.datatype]).reshape(tensor.shape)
        for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    is_final = response.parameters["triton_final_response"].bool_param or bool(message.error_message)
    return Answer(tensors, is_final, message.error_message)
