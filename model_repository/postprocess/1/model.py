"""Triton's side of postprocess: tensors in, one function, tensors out."""

import json
import traceback
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from chunk_decoder import ChunkDecoder
from postprocess_settings import load_token_bytes


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._decoder = ChunkDecoder(load_token_bytes(parameters, Path(args["model_repository"]).parent))

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        """One bad request gives one error response; the others of the batch are not touched."""
        try:
            inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            outputs = self._decoder.decode(
                inputs["output_ids"],
                inputs["sequence_length"],
                request.requested_output_names(),
                inputs.get("generation_logits"),
            )
            return pb_utils.InferenceResponse([pb_utils.Tensor(*output) for output in outputs.items()])
        except Exception as error:
            pb_utils.Logger.log_error(f"request {request.request_id()!r}: {traceback.format_exc()}")
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"postprocess failed: {error}"))
