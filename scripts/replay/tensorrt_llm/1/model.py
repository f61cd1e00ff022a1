"""engine_process loads this, as Triton's Python backend would."""

import json
from collections.abc import Mapping
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from contract import gauges as triton_gauges
from contract.metrics import EngineMetrics
from numpy.typing import NDArray
from replay_answer import ResponseLost
from replay_engine import load_engine
from replay_settings import InvalidSettings

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        try:
            self._engine = load_engine(json.loads(args["model_config"]), args["model_repository"])
        except InvalidSettings as error:
            raise pb_utils.TritonModelException(str(error)) from None
        self._metrics = EngineMetrics(triton_gauges.opener(args), self._engine.load)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            sender = _Sender(request.get_response_sender())
            self._engine.accept(request.request_id(), tensors, request.requested_output_names(), sender)

    def finalize(self) -> None:
        self._metrics.close()
        self._engine.close()


class _Sender:
    def __init__(self, response_sender: Any) -> None:
        self._response_sender = response_sender

    def send(self, tensors: Mapping[str, NDArray[Any]], is_final: bool) -> None:
        outputs = [pb_utils.Tensor(*tensor) for tensor in tensors.items()]
        self._send(pb_utils.InferenceResponse(outputs), flags=_FINAL if is_final else 0)

    def fail(self, message: str) -> None:
        error = pb_utils.TritonError(message, pb_utils.TritonError.INTERNAL)
        self._send(pb_utils.InferenceResponse([], error), flags=_FINAL)

    def close(self) -> None:
        self._send(flags=_FINAL)

    def is_cancelled(self) -> bool:
        return bool(self._response_sender.is_cancelled())

    def _send(self, *response: Any, flags: int) -> None:
        try:
            self._response_sender.send(*response, flags=flags)
        except pb_utils.TritonModelException as error:
            raise ResponseLost(str(error)) from error
