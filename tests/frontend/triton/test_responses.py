"""What comes together is joined; what is malformed stays apart."""

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from frontend.triton.response import EngineResponse, read_response
from frontend.triton.responses import alike, join_responses
from frontend.triton.tensors import read_ids

Output = tuple[str, list[int], bytes]


def of(*values: int) -> bytes:
    return np.array(values, "<i4").tobytes()


def response(**outputs: Output) -> EngineResponse:
    made = service_pb2.ModelInferResponse()
    for name, (datatype, shape, raw) in outputs.items():
        made.outputs.add(name=name, datatype=datatype, shape=shape)
        made.raw_output_contents.append(raw)
    return read_response(made)


def good(*ids: int) -> EngineResponse:
    return response(
        output_ids=("INT32", [1, 1, len(ids)], of(*ids)), num_input_tokens=("INT32", [1, 1], of(5))
    )


MALFORMED = {
    "no tensor": response(),
    "no ids": response(num_input_tokens=("INT32", [1, 1], of(5))),
    "ids cut short": response(
        output_ids=("INT32", [1, 1, 1], b"abc"), num_input_tokens=("INT32", [1, 1], of(5))
    ),
    "ids are floats": response(
        output_ids=("FP32", [1, 1, 1], of(1)), num_input_tokens=("INT32", [1, 1], of(5))
    ),
    "two beams": response(
        output_ids=("INT32", [1, 2, 1], of(1, 2)), num_input_tokens=("INT32", [1, 1], of(5))
    ),
    "two beams cut short": response(
        output_ids=("INT32", [1, 2, 1], of(1)), num_input_tokens=("INT32", [1, 1], of(5))
    ),
    "count is empty": response(
        output_ids=("INT32", [1, 1, 1], of(1)), num_input_tokens=("INT32", [1, 0], b"")
    ),
}


def test_ids_follow_each_other_and_counts_stay() -> None:
    (group,) = alike([good(1), good(2, 3), good()])
    outputs = join_responses(group)
    assert read_ids(outputs["output_ids"]) == [1, 2, 3]
    assert read_ids(outputs["num_input_tokens"]) == [5]


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_stays_apart(name: str) -> None:
    groups = list(alike([good(1), good(2), MALFORMED[name], good(3)]))
    assert [len(group) for group in groups] == [2, 1, 1]


def test_log_probs_grow() -> None:
    longer = [
        response(
            output_ids=("INT32", [1, 1, 1], of(number)),
            output_log_probs=("FP32", [1, 1, number], bytes(4 * number)),
        )
        for number in (1, 2, 3)
    ]
    (group,) = alike(longer)
    assert len(join_responses(group)["output_log_probs"]) == 12
