"""engine_process loads this, as Triton's Python backend would."""

import json
from collections.abc import Mapping
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from contract.metrics import EngineMetrics
from contract.parameters import InvalidSettings
from contract.triton import TritonSender, open_gauges
from replay_engine import load_engine


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        try:
            self._engine = load_engine(json.loads(args["model_config"]), args["model_repository"])
        except InvalidSettings as error:
            raise pb_utils.TritonModelException(str(error)) from None
        self._metrics = EngineMetrics(open_gauges(args), self._engine.load)

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            wanted = request.requested_output_names()
            self._engine.accept(request.request_id(), tensors, wanted, TritonSender(request))

    def finalize(self) -> None:
        self._metrics.close()
        self._engine.close()
