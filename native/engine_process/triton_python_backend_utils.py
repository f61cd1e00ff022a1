"""What a model sees of Triton, by the names of the Python backend's module, so that it runs under both.

The part that engines use: decoupled answers and gauges. Source: README.md of
github.com/triton-inference-server/python_backend.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from engine_socket import EngineSocket, NamedTensor
from numpy.typing import NDArray

TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1


class TritonModelException(Exception):
    """Of a model that can't be loaded, or a response that can't be sent."""


class TritonError:
    UNKNOWN, INTERNAL, NOT_FOUND, INVALID_ARG, UNAVAILABLE, UNSUPPORTED, ALREADY_EXISTS, CANCELLED = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message = message
        self._code = code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class Tensor:
    def __init__(self, name: str, array: NDArray[Any]) -> None:
        self._name = name
        self._array = array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        return self._array


class InferenceResponse:
    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self._output_tensors = output_tensors
        self._error = error

    def output_tensors(self) -> Sequence[Tensor]:
        return self._output_tensors

    def error(self) -> TritonError | None:
        return self._error


class ResponseSender:
    """Any thread may send, one at a time; an error is always the final response.

    Outputs that the request does not want stay here.
    """

    def __init__(
        self,
        connection: EngineSocket,
        key: int,
        output_names: Collection[str],
        on_final: Callable[[int], object],
    ) -> None:
        self._connection = connection
        self._key = key
        self._output_names = output_names
        self._on_final = on_final
        self._is_closed = False
        self._is_cancelled = False

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        if self._is_closed:
            raise TritonModelException("a response after the final one can't be sent")
        if flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL or (response and response.error()):
            self._is_closed = True
            self._on_final(self._key)
        try:
            self._send(response, flags)
        except OSError as error:
            raise TritonModelException(f"tritonserver can't be reached: {error}") from error

    def is_cancelled(self) -> bool:
        return self._is_cancelled

    def note_cancellation(self) -> None:
        """The client has left."""
        self._is_cancelled = True

    def _send(self, response: InferenceResponse | None, flags: int) -> None:
        if response is None:
            self._connection.send_flags(self._key, flags)
        elif error := response.error():
            self._connection.send_error(self._key, error.code(), error.message())
        else:
            self._connection.send_response(self._key, self._wanted(response.output_tensors()), flags)

    def _wanted(self, outputs: Sequence[Tensor]) -> list[NamedTensor]:
        return [
            (output.name(), output.as_numpy()) for output in outputs if output.name() in self._output_names
        ]


class InferenceRequest:
    def __init__(
        self, request_id: str, output_names: Sequence[str], inputs: Sequence[Tensor], sender: ResponseSender
    ) -> None:
        self._request_id = request_id
        self._output_names = output_names
        self._inputs = inputs
        self._sender = sender

    def request_id(self) -> str:
        return self._request_id

    def requested_output_names(self) -> Sequence[str]:
        return self._output_names

    def inputs(self) -> Sequence[Tensor]:
        """Their arrays can't be written to."""
        return self._inputs

    def get_response_sender(self) -> ResponseSender:
        return self._sender


class MetricFamily:
    """Gauges; the host says where they are told."""

    GAUGE = 1
    connection: EngineSocket
    _num_families = 0
    _num_metrics = 0

    def __init__(self, name: str, description: str, kind: int) -> None:
        if kind != self.GAUGE:
            raise TritonModelException(f"{name}: only gauges can be told")
        self._number = MetricFamily._num_families
        MetricFamily._num_families += 1
        self.connection.open_family(name, description)

    def Metric(self, labels: Mapping[str, str]) -> "Metric":  # noqa: N802 - the Python backend's name
        self.connection.open_metric(self._number, labels)
        MetricFamily._num_metrics += 1
        return Metric(self.connection, MetricFamily._num_metrics - 1)


class Metric:
    def __init__(self, connection: EngineSocket, number: int) -> None:
        self._connection = connection
        self._number = number

    def set(self, value: float) -> None:
        self._connection.set_gauge(self._number, value)
