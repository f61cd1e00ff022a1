"""The engine as Triton sees it: tensors and a way to answer go in."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from engine_errors import InvalidInput
from engine_request import ModelLimits, read_request
from engine_settings import InvalidSettings, read_settings
from engine_tensors import Tensors, read_flag
from generation import Generation
from in_flight_batching import InFlightBatching
from openvino_pipeline import Pipeline, open_pipeline, read_vocab_size
from response_stream import ResponseStream, Sender
from running_batch import BatchLimits

_log = logging.getLogger("tensorrt_llm")


class Engine:
    def __init__(
        self, open_pipeline: Callable[[], Pipeline], model_limits: ModelLimits, batch_limits: BatchLimits
    ) -> None:
        self._model_limits = model_limits
        self._batching = InFlightBatching(open_pipeline, batch_limits)

    def accept(self, request_id: str, tensors: Tensors, sender: Sender) -> None:
        """Returns at once, done with the tensors; the answer or the refusal goes to the sender."""
        responses = ResponseStream(request_id, sender)
        try:
            if read_flag(tensors, "stop"):
                self._stop(request_id, responses)
            else:
                self._batching.submit(Generation(read_request(tensors, self._model_limits), responses))
        except InvalidInput as reason:
            responses.refuse(reason)
        except Exception:
            # Triton's thread ends here: the batch's other requests go on.
            _log.exception("request %r: failed", request_id)
            responses.fail("The engine could not take this request.")

    def close(self) -> None:
        """Ends what runs with an error."""
        self._batching.close()

    def _stop(self, request_id: str, responses: ResponseStream) -> None:
        if not request_id:
            raise InvalidInput("stop", "needs the request id of the requests to stop.")
        self._batching.cancel(request_id, responses)


def load_engine(model_config: Mapping[str, Any], model_folder: str) -> Engine:
    """Takes what Triton tells a model: its configuration, and its own folder among the models."""
    settings = read_settings(model_config, Path(model_folder).parent)
    try:
        limits = ModelLimits(read_vocab_size(settings.engine), settings.max_model_len)
        return Engine(
            partial(open_pipeline, settings),
            limits,
            BatchLimits(settings.max_num_seqs, settings.max_kv_tokens),
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise InvalidSettings(f"engine_dir: {settings.engine} can't be opened: {reason}") from error
