"""Triton's side of preprocess: tensors in, one function, tensors out."""

import json
import traceback
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from client_input import ClientError
from preprocessor import load_preprocessor


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._preprocessor = load_preprocessor(parameters, Path(args["model_repository"]).parent)

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        """One bad request gives one error response; the others of the batch are not touched."""
        try:
            inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            outputs = self._preprocessor.prepare(inputs)
        except ClientError as error:
            return _failure(error.as_json(), pb_utils.TritonError.INVALID_ARG)
        except Exception:
            pb_utils.Logger.log_error(f"request {request.request_id()!r}: {traceback.format_exc()}")
            return _failure("preprocess failed; the server's log tells why.", pb_utils.TritonError.INTERNAL)
        return pb_utils.InferenceResponse([pb_utils.Tensor(*output) for output in outputs.items()])


def _failure(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
