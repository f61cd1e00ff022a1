"""A model that does what its input `order` says; the tests put it into a repository as model.py."""

import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        start = parameters["start"]["string_value"]
        if start == "refuse":
            raise pb_utils.TritonModelException("there are no weights in /nowhere")
        if start == "fail":
            raise ValueError("seven")
        if start == "die":
            os._exit(7)
        self._told = {"refused": "", "cancelled": "", **args}
        labels = {"model": args["model_name"], "kind": "tried"}
        family = pb_utils.MetricFamily(
            name="tried", description="What was set", kind=pb_utils.MetricFamily.GAUGE
        )
        self._family, self._gauge = family, family.Metric(labels=labels)
        self._hangs_at_the_end = False

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            order = inputs["order"].item().decode()
            getattr(self, f"_{order}")(request, inputs, request.get_response_sender())

    def finalize(self) -> None:
        while self._hangs_at_the_end:
            time.sleep(1)

    def _echo(self, _request: Any, inputs: Mapping[str, Any], sender: Any) -> None:
        outputs = [
            pb_utils.Tensor(f"same_{name}", array) for name, array in inputs.items() if name != "order"
        ]
        sender.send(pb_utils.InferenceResponse(outputs), flags=FINAL)

    def _count(self, request: Any, inputs: Mapping[str, Any], sender: Any) -> None:
        """Many responses from a thread of their own, then a final one without any tensor."""
        last = int(inputs["ints"].max())

        def write() -> None:
            for number in range(last):
                sender.send(pb_utils.InferenceResponse([_ints([[number]])]))
            sender.send(flags=FINAL)

        threading.Thread(target=write).start()

    def _tell(self, request: Any, _inputs: Mapping[str, Any], sender: Any) -> None:
        told = {**self._told, "id": request.request_id(), "outputs": sorted(request.requested_output_names())}
        text = np.array([[ord(letter) for letter in json.dumps(told)]], np.int32)
        sender.send(pb_utils.InferenceResponse([_ints(text)]), flags=FINAL)

    def _say_too_much(self, _request: Any, _inputs: Mapping[str, Any], sender: Any) -> None:
        sender.send(pb_utils.InferenceResponse([_ints([[1]])]), flags=FINAL)
        try:
            sender.send(pb_utils.InferenceResponse([_ints([[2]])]))
        except pb_utils.TritonModelException as error:
            self._told["refused"] = str(error)

    def _err(self, _request: Any, _inputs: Mapping[str, Any], sender: Any) -> None:
        error = pb_utils.TritonError("that is wrong – truly", pb_utils.TritonError.INVALID_ARG)
        sender.send(pb_utils.InferenceResponse([_ints([[1]])]))
        sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)

    def _wait(self, _request: Any, _inputs: Mapping[str, Any], sender: Any) -> None:
        """Until the client has left."""

        def wait() -> None:
            sender.send(pb_utils.InferenceResponse([_ints([[1]])]))
            while not sender.is_cancelled():
                time.sleep(0.01)
            self._told["cancelled"] = "yes"
            sender.send(flags=FINAL)

        threading.Thread(target=wait, daemon=True).start()

    def _set(self, _request: Any, inputs: Mapping[str, Any], sender: Any) -> None:
        self._gauge.set(float(inputs["ints"].max()))
        sender.send(flags=FINAL)

    def _raise(self, _request: Any, _inputs: Mapping[str, Any], _sender: Any) -> None:
        raise ValueError("eight")

    def _die(self, _request: Any, _inputs: Mapping[str, Any], _sender: Any) -> None:
        os._exit(9)

    def _hang_at_the_end(self, _request: Any, _inputs: Mapping[str, Any], sender: Any) -> None:
        self._hangs_at_the_end = True
        sender.send(flags=FINAL)


def _ints(values: Any) -> Any:
    return pb_utils.Tensor("same_ints", np.array(values, np.int32))
