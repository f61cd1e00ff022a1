"""Responses of the engine that came together -> the tensors of one that had brought them all."""

from collections.abc import Mapping, Sequence

from tritonclient.grpc import service_pb2

from frontend.tensors import read_outputs
from frontend.top_tokens import TOP_OUTPUTS

IDS = "output_ids"
# These are of a response's new tokens; all others of the generation so far, or in a single response.
_PER_TOKEN = frozenset((IDS, *TOP_OUTPUTS))


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


def _require_ids(response: service_pb2.ModelInferResponse) -> None:
    for tensor in response.outputs:
        if tensor.name == IDS:
            if tensor.datatype != "INT32" or tensor.shape[:-1] != [1, 1]:
                raise ValueError(f"{IDS} is {tensor.datatype} {list(tensor.shape)}")
            return
    # TensorRT-LLM's last response has tensors, if only empty ones: without them an engine has broken off.
    raise LookupError(f"a response without {IDS}")
