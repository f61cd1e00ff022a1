"""Whether the servers answer, and what they serve."""

import http.client
import ssl
import uuid
from contextlib import closing
from urllib.parse import SplitResult, urlsplit

import grpc
import tritonclient.grpc as triton
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from frontend.triton.stop import stop_request
from frontend.triton.tensors import add_input
from serving.node.probe import Sick

ENSEMBLE = "ensemble"
PREPROCESS = "preprocess"
POSTPROCESS = "postprocess"
TIMEOUT_S = 2.0
# A megabyte of text keeps preprocess busy for about a second.
ANSWER_TIMEOUT_S = 10.0
# Also for the requests before it, when the engine is full.
GENERATION_TIMEOUT_S = 60.0
READY = 200
_SILENT = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
_INT32 = model_config_pb2.DataType.TYPE_INT32
_STRING = model_config_pb2.DataType.TYPE_STRING
# gRPC's own first pause between two attempts to connect is a second.
RECONNECT = [
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class TritonHealth:
    """Asks the tritonserver at `address` (host:port) over gRPC."""

    def __init__(self, address: str) -> None:
        self._client = triton.InferenceServerClient(address, channel_args=RECONNECT)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(
            grpc.insecure_channel(address, options=RECONNECT)
        )

    def is_ready(self) -> bool:
        """Whether the server and the ensemble are ready."""
        try:
            return bool(
                self._client.is_server_ready(client_timeout=TIMEOUT_S)
                and self._client.is_model_ready(ENSEMBLE, client_timeout=TIMEOUT_S)
            )
        except triton.InferenceServerException:
            return False

    def answers(self) -> bool:
        """Whether every model answers a question for which no generation has to end, however full the engine.

        A model that fails is no news here: `generates` tells it with its reason.
        """
        try:
            for request in (_shortest_tokenizing(), _shortest_spelling()):
                self._stub.ModelInfer(request, ANSWER_TIMEOUT_S)
            list(self._stub.ModelStreamInfer(iter([stop_request(_new_id())]), ANSWER_TIMEOUT_S))
        except grpc.RpcError as error:
            return error.code() not in _SILENT
        return True

    def generates(self) -> bool:
        """Whether a generation of one token comes through; raises Sick when it fails within Triton.

        Triton 2.51 says that it is ready even when the process of one of its Python models has died.
        """
        try:
            answers = list(self._stub.ModelStreamInfer(iter([_shortest_generation()]), GENERATION_TIMEOUT_S))
        except grpc.RpcError:
            return False
        for answer in answers:
            if answer.error_message and "queue" not in answer.error_message:
                raise Sick(answer.error_message)
        return bool(answers)

    def served_model_name(self) -> str:
        """The name that clients put into "model"."""
        config = self._client.get_model_config(ENSEMBLE, as_json=True)["config"]
        return str(config["parameters"]["served_model_name"]["string_value"])


def frontend_answers(url: str, path: str) -> bool:
    """Whether the frontend at the URL, which is on this machine, answers the path of a probe with 200."""
    with closing(_connection(urlsplit(url))) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == READY
        except (OSError, http.client.HTTPException):
            return False


def _connection(url: SplitResult) -> http.client.HTTPConnection:
    host = url.hostname or ""
    if url.scheme == "http":
        return http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_S)
    # The certificate is for the name that clients use, not for this machine's own address.
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, url.port, timeout=TIMEOUT_S, context=unchecked)


def _shortest_generation() -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=ENSEMBLE, id=_new_id())
    add_input(request, "text_input", "a", _STRING)
    add_input(request, "max_tokens", 1, _INT32)
    request.outputs.add(name="text_output")
    return request


def _shortest_tokenizing() -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=PREPROCESS, id=_new_id())
    add_input(request, "text_input", "a", _STRING)
    request.outputs.add(name="input_ids")
    return request


def _shortest_spelling() -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=POSTPROCESS, id=_new_id())
    add_input(request, "output_ids", [0], _INT32, rank=3)
    add_input(request, "sequence_length", 1, _INT32)
    request.outputs.add(name="output_bytes")
    return request


def _new_id() -> str:
    return f"health-{uuid.uuid4().hex}"
