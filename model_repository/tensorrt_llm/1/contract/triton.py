"""Triton's side of an engine: where its responses and gauges go."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from numpy.typing import NDArray

from contract.metrics import Family, OpenFamily
from contract.response_stream import ResponseLost
from contract.tensors import InvalidInput

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonSender:
    """Its methods are those of Sender in response_stream.py."""

    def __init__(self, request: Any) -> None:
        self._response_sender = request.get_response_sender()

    def send(self, tensors: Mapping[str, NDArray[Any]], is_final: bool) -> None:
        outputs = [pb_utils.Tensor(*tensor) for tensor in tensors.items()]
        self._send(pb_utils.InferenceResponse(outputs), flags=_FINAL if is_final else 0)

    def refuse(self, reason: InvalidInput) -> None:
        self._send_error(str(reason), pb_utils.TritonError.INVALID_ARG)

    def fail(self, message: str) -> None:
        self._send_error(message, pb_utils.TritonError.INTERNAL)

    def close(self) -> None:
        self._send(flags=_FINAL)

    def is_cancelled(self) -> bool:
        return bool(self._response_sender.is_cancelled())

    def _send_error(self, message: str, code: Any) -> None:
        self._send(pb_utils.InferenceResponse([], pb_utils.TritonError(message, code)), flags=_FINAL)

    def _send(self, *response: Any, flags: int) -> None:
        try:
            self._response_sender.send(*response, flags=flags)
        except pb_utils.TritonModelException as error:
            raise ResponseLost(str(error)) from error


class TritonGauge:
    """Keeps its family: one that Python forgets takes its gauges with it."""

    def __init__(self, family: Any, labels: Mapping[str, str]) -> None:
        # In this order they are forgotten, and a family must outlive its gauges.
        self._metric = family.Metric(labels=labels)
        self._family = family

    def set(self, value: float) -> None:
        self._metric.set(value)


def open_gauges(args: Mapping[str, str]) -> OpenFamily:
    """Takes what Triton tells a model of itself."""
    return partial(_open_family, {"model": args["model_name"], "version": args["model_version"]})


def _open_family(labels: Mapping[str, str], family: Family) -> Mapping[str, TritonGauge]:
    opened = pb_utils.MetricFamily(
        name=family.name, description=family.text, kind=pb_utils.MetricFamily.GAUGE
    )
    return {value: TritonGauge(opened, {**labels, family.label: value}) for value in family.values}
