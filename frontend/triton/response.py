"""Messages of one ModelStreamInfer call -> responses of the engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from frontend.triton.errors import stream_error
from frontend.triton.tensors import read_outputs

IDS = "output_ids"
LOGPROBS = "output_log_probs"
# Of postprocess, for the new tokens of a response.
TOP_OUTPUTS = ("chosen_log_probs", "top_log_prob_ids", "top_log_probs")
# They differ from response to response, as the ids do.
_VARYING = frozenset((LOGPROBS, *TOP_OUTPUTS))
# What stands in the ids' place when a frame is tried: as many bytes as protobuf gives a length of one byte.
_OTHER_IDS = bytes(range(127, 0, -1))
_FINAL = "triton_final_response"
_NOT_FINAL = service_pb2.ModelInferResponse(
    parameters={_FINAL: service_pb2.InferParameter(bool_param=False)}
).SerializeToString()
# Enough for a stream of one token a response, or a few; one whose messages have no frame stops looking.
_MAX_TRIES = 8


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a response has beside its new ids, shared by those that repeat it."""

    outputs: Mapping[str, bytes]
    datatypes: tuple[tuple[str, str], ...]
    """Name and datatype of each output."""
    is_final: bool
    fault: LookupError | ValueError | None
    """Why there is nothing to be read in it."""


class EngineResponse(NamedTuple):
    """`ids` are int32, one after another."""

    ids: bytes
    surroundings: Surroundings


class _Frame(NamedTuple):
    """What messages of one length share: all but their ids, and parameters in an order that varies."""

    head: bytes
    middle: bytes
    middle_at: int
    tail: bytes
    surroundings: Surroundings

    def ids_in(self, message: bytes) -> bytes | None:
        """None for a message of another kind, or the last one."""
        if (
            message.startswith(self.head)
            and message.startswith(self.middle, self.middle_at)
            and message.endswith(self.tail)
            and message.find(_NOT_FINAL, len(self.head), self.middle_at) >= 0
        ):
            return message[self.middle_at + len(self.middle) : len(message) - len(self.tail)]
        return None


class ResponseReader:
    """Of one call. Its messages mostly differ in the new ids alone, and then only these are read.

    To parse each took a third of the frontend's time for a token at the rate of a GPU (docs/performance.md).
    """

    def __init__(self) -> None:
        self._frames: dict[int, _Frame] = {}
        """By the length of the message."""
        self._num_tries = 0

    def read(self, message: bytes) -> EngineResponse:
        """Raises DecodeError for what is no response, and ApiError for an error that Triton tells."""
        frame = self._frames.get(len(message))
        if frame and (ids := frame.ids_in(message)):
            return EngineResponse(ids, frame.surroundings)
        answer = service_pb2.ModelStreamInferResponse.FromString(message)
        if answer.error_message:
            raise stream_error(answer.error_message)
        response = read_response(answer.infer_response)
        if self._num_tries < _MAX_TRIES:
            self._num_tries += 1
            if frame := _frame(message, answer, response):
                self._frames[len(message)] = frame
        return response


def read_response(response: service_pb2.ModelInferResponse) -> EngineResponse:
    """What is wrong with it is not raised, for the tokens that came before are not to be lost."""
    outputs: Mapping[str, bytes] = {}
    try:
        _require_ids(response)
        outputs = read_outputs(response)
        fault = None
    except (LookupError, ValueError) as error:
        fault = error
    datatypes = tuple((tensor.name, tensor.datatype) for tensor in response.outputs)
    is_final = bool(response.parameters[_FINAL].bool_param)
    return EngineResponse(outputs.get(IDS, b""), Surroundings(outputs, datatypes, is_final, fault))


def _require_ids(response: service_pb2.ModelInferResponse) -> None:
    """Of one beam: int32 [1, 1, n]."""
    for tensor in response.outputs:
        if tensor.name == IDS:
            if tensor.datatype != "INT32" or tensor.shape[:-1] != [1, 1]:
                raise ValueError(f"{IDS} is {tensor.datatype} {list(tensor.shape)}")
            return
    # TensorRT-LLM's last response has tensors, if only empty ones: without them an engine has broken off.
    raise LookupError(f"a response without {IDS}")


def _frame(
    message: bytes, answer: service_pb2.ModelStreamInferResponse, response: EngineResponse
) -> _Frame | None:
    """None where more than the ids may differ, or where they can't be told from the rest."""
    surroundings, ids = response.surroundings, response.ids
    if surroundings.fault or surroundings.is_final or not 0 < len(ids) <= len(_OTHER_IDS):
        return None
    if _VARYING & surroundings.outputs.keys():
        return None
    # Fields come in the order of their numbers; the ids are an element of raw_output_contents, which is 6.
    inner = answer.infer_response
    names = service_pb2.ModelInferResponse(
        model_name=inner.model_name, model_version=inner.model_version, id=inner.id
    )
    parameters = service_pb2.ModelInferResponse(parameters=inner.parameters).SerializeToString()
    parameters_at = len(message) - inner.ByteSize() + names.ByteSize()
    middle_at = parameters_at + len(parameters)
    middle, found, tail = message[middle_at:].rpartition(bytes((6 << 3 | 2, len(ids))) + ids)
    middle += found[: -len(ids)]
    frame = _Frame(message[:parameters_at], middle, middle_at, tail, surroundings)
    return frame if found and _holds_the_ids(frame, answer, parameters, len(ids)) else None


def _holds_the_ids(
    frame: _Frame, answer: service_pb2.ModelStreamInferResponse, parameters: bytes, size: int
) -> bool:
    """Whether other ids in the frame are read as such, and all else as in the answer, which it changes."""
    other_ids = _OTHER_IDS[:size]
    place = list(frame.surroundings.outputs).index(IDS)
    answer.infer_response.raw_output_contents[place] = other_ids
    message = frame.head + parameters + frame.middle + other_ids + frame.tail
    try:
        is_so_read = service_pb2.ModelStreamInferResponse.FromString(message) == answer
    except DecodeError:
        return False
    return bool(is_so_read) and frame.ids_in(message) == other_ids
