"""Responses of the engine that came together -> the tensors of one that had brought them all."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from tritonclient.grpc import service_pb2

from frontend.tensors import read_outputs
from frontend.top_tokens import TOP_OUTPUTS

IDS = "output_ids"
# These are of a response's new tokens; all others of the generation so far, or in a single response.
_PER_TOKEN = frozenset((IDS, *TOP_OUTPUTS))
# Grows from response to response.
_LOG_PROBS = "output_log_probs"


def alike(
    responses: Sequence[service_pb2.ModelInferResponse],
) -> Iterator[list[service_pb2.ModelInferResponse]]:
    """In order, those that can be joined: what is malformed stays apart, and costs no token before it."""
    if len(responses) == 1:
        yield list(responses)
        return
    for _, group in groupby(responses, _layout):
        yield list(group)


def join_responses(
    responses: Sequence[service_pb2.ModelInferResponse],
) -> Mapping[str, bytes]:
    """Raises LookupError or ValueError unless each holds the ids of one beam: int32 [1, 1, n]."""
    joined: dict[str, bytes] = {}
    for response in responses:
        _require_ids(response)
        outputs = read_outputs(response)
        if joined:
            outputs |= {
                name: joined[name] + outputs[name] for name in _PER_TOKEN & joined.keys() & outputs.keys()
            }
        joined |= outputs
    return joined


def _layout(response: service_pb2.ModelInferResponse) -> list[object]:
    """Names, types and sizes of the outputs, but for the sizes of those that differ from token to token."""
    sizes = [len(raw) for raw in response.raw_output_contents]
    layout: list[object] = [len(sizes)]
    for tensor, size in zip(response.outputs, sizes, strict=False):
        is_whole = size == 4 * math.prod(tensor.shape)
        fixed_size = 0 if tensor.name in _PER_TOKEN or tensor.name == _LOG_PROBS else size
        layout.append((tensor.name, tensor.datatype, len(tensor.shape), is_whole, fixed_size))
    return layout


def _require_ids(response: service_pb2.ModelInferResponse) -> None:
    for tensor in response.outputs:
        if tensor.name == IDS:
            if tensor.datatype != "INT32" or tensor.shape[:-1] != [1, 1]:
                raise ValueError(f"{IDS} is {tensor.datatype} {list(tensor.shape)}")
            return
    # TensorRT-LLM's last response has tensors, if only empty ones: without them an engine has broken off.
    raise LookupError(f"a response without {IDS}")
