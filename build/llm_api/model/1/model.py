"""Triton's Python backend loads this."""

import json
from collections.abc import Mapping
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from contract.parameters import InvalidSettings
from contract.triton import TritonSender
from llm_api_runtime import load_engine


class TritonPythonModel:
    def initialize(self, args: Mapping[str, str]) -> None:
        try:
            self._engine = load_engine(json.loads(args["model_config"]), args["model_repository"])
        except InvalidSettings as error:
            raise pb_utils.TritonModelException(str(error)) from None

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            self._engine.accept(request.request_id(), tensors, TritonSender(request))

    def finalize(self) -> None:
        self._engine.close()
