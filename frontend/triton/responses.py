"""Responses of the engine that came together -> the tensors of one that had brought them all."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from frontend.generation.top_tokens import TOP_OUTPUTS
from frontend.triton.response import IDS, EngineResponse


def alike(responses: Sequence[EngineResponse]) -> Iterator[list[EngineResponse]]:
    """In order, those that can be joined: what is malformed stays apart, and costs no token before it."""
    if len(responses) == 1:
        yield list(responses)
        return
    for _, group in groupby(responses, lambda response: response.surroundings.tensors):
        yield list(group)


def join_responses(responses: Sequence[EngineResponse]) -> Mapping[str, bytes]:
    """Raises LookupError or ValueError unless each holds the ids of one beam."""
    for response in responses:
        if response.surroundings.fault:
            raise response.surroundings.fault
    outputs = dict(responses[-1].surroundings.outputs)
    outputs[IDS] = b"".join([response.ids for response in responses])
    for name in TOP_OUTPUTS:
        if name in outputs:
            outputs[name] = b"".join([response.surroundings.outputs[name] for response in responses])
    return outputs
