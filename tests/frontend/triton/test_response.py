"""What only repeats the response before it is read the short way, and never otherwise than the long way."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from frontend.errors import ApiError
from frontend.triton.response import EngineResponse, ResponseReader, read_response
from tests.fuzzing import examples

PARAMETERS = ("sequence_id", "sequence_start", "sequence_end", "triton_final_response")


def of(*values: int) -> bytes:
    return np.array(values, "<i4").tobytes()


def message(
    ids: Sequence[int],
    *,
    is_final: bool = False,
    count: int = 1,
    order: Sequence[str] = PARAMETERS,
    extra: tuple[str, bytes] | None = None,
    request_id: str = "a",
) -> bytes:
    """As Triton sends it: parameters in any order, the ids among other tensors."""
    inner = service_pb2.ModelInferResponse(model_name="ensemble_ids", model_version="1", id=request_id)
    tensors = {"sequence_length": of(count), "output_ids": of(*ids), "num_input_tokens": of(5)}
    for name, raw in {**tensors, **dict([extra] if extra else [])}.items():
        shape = [1, 1, len(ids)] if name == "output_ids" else [1, 1]
        inner.outputs.add(name=name, datatype="INT32", shape=shape)
        inner.raw_output_contents.append(raw)
    # In pieces, for the order within a map is the library's otherwise.
    names = service_pb2.ModelInferResponse(model_name="ensemble_ids", model_version="1", id=request_id)
    parts = [names.SerializeToString(), *(_parameter(name, is_final) for name in order)]
    parts.append(inner.SerializeToString()[len(parts[0]) :])
    body = b"".join(parts)
    return b"\x12" + _varint(len(body)) + body


def _parameter(name: str, is_final: bool) -> bytes:
    value = service_pb2.InferParameter(bool_param=is_final and name == "triton_final_response")
    return service_pb2.ModelInferResponse(parameters={name: value}).SerializeToString()


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def parsed(data: bytes) -> EngineResponse:
    return read_response(service_pb2.ModelStreamInferResponse.FromString(data).infer_response)


def plain(response: EngineResponse) -> object:
    """All that counts: the ids stand apart, for those in the surroundings are the first of their kind."""
    beside = response.surroundings
    outputs = {name: raw for name, raw in beside.outputs.items() if name != "output_ids"}
    return response.ids, outputs, beside.datatypes, beside.is_final, repr(beside.fault)


def test_what_repeats_shares_its_surroundings() -> None:
    reader = ResponseReader()
    first, second = (reader.read(message([value])) for value in (7, 8))
    assert (first.ids, second.ids) == (of(7), of(8))
    assert second.surroundings is first.surroundings


def test_the_order_of_parameters_does_not_matter() -> None:
    reader = ResponseReader()
    first = reader.read(message([7]))
    for number, order in enumerate(itertools.permutations(PARAMETERS)):
        response = reader.read(message([number], order=order))
        assert response.ids == of(number)
        assert response.surroundings is first.surroundings


def test_the_last_response_is_seen() -> None:
    reader = ResponseReader()
    reader.read(message([7]))
    last = reader.read(message([8], is_final=True))
    assert last.surroundings.is_final
    assert last.ids == of(8)


@pytest.mark.parametrize(
    "other",
    [
        message([8], count=2),
        message([8], request_id="b"),
        message([8], extra=("kv_cache_reused_blocks", of(3))),
        message([8, 9]),
        message([]),
    ],
    ids=["another count", "another id", "a tensor more", "two ids", "no ids"],
)
def test_what_differs_is_read_anew(other: bytes) -> None:
    reader = ResponseReader()
    first = reader.read(message([7]))
    response = reader.read(other)
    assert response.surroundings is not first.surroundings
    assert plain(response) == plain(parsed(other))


def test_ids_that_stand_elsewhere_too_are_not_mistaken() -> None:
    """An id of 5 looks like the prompt's length, behind it on the wire."""
    reader = ResponseReader()
    assert [reader.read(message([value])).ids for value in (5, 5, 6, 5)] == [of(5), of(5), of(6), of(5)]
    assert reader.read(message([9])).surroundings.outputs["num_input_tokens"] == of(5)


@pytest.mark.parametrize("name", ["output_log_probs", "chosen_log_probs"])
def test_what_grows_with_the_ids_is_read_each_time(name: str) -> None:
    reader = ResponseReader()
    responses = [reader.read(message([7], extra=(name, of(value)))) for value in (1, 2)]
    assert [response.surroundings.outputs[name] for response in responses] == [of(1), of(2)]


def test_no_response_at_all() -> None:
    with pytest.raises(DecodeError):
        ResponseReader().read(b"\xff\xff")


def test_an_error_is_raised() -> None:
    failed = service_pb2.ModelStreamInferResponse(error_message="no room")
    with pytest.raises(ApiError):
        ResponseReader().read(failed.SerializeToString())


RESPONSES = st.builds(
    message,
    st.lists(st.sampled_from([0, 1, 5, 7, 127, 128, 49151, 2**31 - 1]), max_size=40),
    is_final=st.booleans(),
    count=st.sampled_from([1, 5, 7]),
    order=st.permutations(PARAMETERS),
    request_id=st.sampled_from(["a", "\x05\0\0\0"]),
)


@examples(300)
@given(messages=st.lists(RESPONSES, min_size=1, max_size=12))
def test_the_short_way_reads_what_the_long_way_reads(messages: list[bytes]) -> None:
    reader = ResponseReader()
    for data in messages:
        assert plain(reader.read(data)) == plain(parsed(data))
