"""Clients of TensorRT-LLM's own ensemble: tritonclient over gRPC, with that ensemble's tensor names."""

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc

from tests.integration.live_stack import LiveStack

PROMPT = "Computers are"


def ensemble_input(name: str, value: Any, datatype: str) -> triton_grpc.InferInput:
    numpy_type = {"BYTES": np.object_, "INT32": np.int32, "BOOL": np.bool_, "FP32": np.float32}[datatype]
    array = np.array([[value]], numpy_type)
    tensor = triton_grpc.InferInput(name, array.shape, datatype)
    tensor.set_data_from_numpy(array)
    return tensor


@pytest.fixture
def connection(live_stack: LiveStack) -> Iterator[triton_grpc.InferenceServerClient]:
    with triton_grpc.InferenceServerClient(live_stack.triton) as client:
        yield client


def stream(client: triton_grpc.InferenceServerClient, inputs: list[triton_grpc.InferInput]) -> list[Any]:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    client.async_stream_infer("ensemble", inputs, request_id="1", enable_empty_final_response=True)
    results = []
    while True:
        result, error = answers.get(timeout=60)
        if error is not None:
            raise error
        results.append(result)
        if result.get_response().parameters["triton_final_response"].bool_param:
            client.stop_stream()
            return results


def texts(results: list[Any]) -> list[bytes]:
    return [result.as_numpy("text_output").reshape(-1)[0] for result in results]


def test_stream_and_whole_are_the_same_text(connection: triton_grpc.InferenceServerClient) -> None:
    inputs = [
        ensemble_input("text_input", PROMPT.encode(), "BYTES"),
        ensemble_input("max_tokens", 16, "INT32"),
    ]
    streamed = texts(stream(connection, [*inputs, ensemble_input("stream", True, "BOOL")]))
    (whole,) = texts(stream(connection, [*inputs, ensemble_input("exclude_input_in_output", True, "BOOL")]))
    assert len(streamed) > 1
    assert b"".join(streamed) == whole
    (with_prompt,) = texts(stream(connection, inputs))
    assert with_prompt == PROMPT.encode() + whole


@pytest.mark.engines("cpu", "double")
def test_exact_bytes_stand_beside_the_text(connection: triton_grpc.InferenceServerClient) -> None:
    inputs = [
        ensemble_input("text_input", PROMPT.encode(), "BYTES"),
        ensemble_input("max_tokens", 16, "INT32"),
        ensemble_input("stream", True, "BOOL"),
    ]
    for result in stream(connection, inputs):
        pieces = result.as_numpy("output_bytes").reshape(-1)
        assert len(pieces) == result.as_numpy("output_ids").size
        assert b"".join(pieces).decode("utf-8", "replace").encode() == texts([result])[0]


@pytest.mark.parametrize(
    ("name", "value", "datatype", "param"),
    [("beam_width", 4, "INT32", "beam_width"), ("temperature", float("nan"), "FP32", "temperature")],
)
def test_what_the_engine_cannot_honour_is_refused_by_name(
    connection: triton_grpc.InferenceServerClient, name: str, value: Any, datatype: str, param: str
) -> None:
    inputs = [
        ensemble_input("text_input", PROMPT.encode(), "BYTES"),
        ensemble_input("max_tokens", 4, "INT32"),
        ensemble_input(name, value, datatype),
    ]
    with pytest.raises(triton_grpc.InferenceServerException, match=param):
        stream(connection, inputs)
