"""Messages out of data that is cut anywhere."""

import struct
from collections.abc import Sequence
from itertools import pairwise

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from frontend.grpc_client.call import MAX_MESSAGE_BYTES, GrpcCall
from frontend.grpc_client.status import GrpcStatus


class Receiver:
    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def on_messages(self, messages: Sequence[bytes]) -> None:
        self.messages += messages

    def on_end(self, status: GrpcStatus) -> None:
        raise AssertionError(status)


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


@given(st.lists(st.binary(max_size=20), max_size=8), st.data())
def test_any_cut(messages: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(map(framed, messages))
    places = data.draw(st.lists(st.integers(0, len(wire)), max_size=12))
    receiver = Receiver()
    call = GrpcCall(1, b"", receiver)
    for start, end in pairwise([0, *sorted(places), len(wire)]):
        assert call.take(wire[start:end]) is None
        call.hand_on()
    assert receiver.messages == messages


def test_the_request_is_framed() -> None:
    assert bytes(GrpcCall(1, b"abc", Receiver()).unsent) == framed(b"abc")


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ((1, 3), StatusCode.UNIMPLEMENTED),
        ((0, MAX_MESSAGE_BYTES + 1), StatusCode.RESOURCE_EXHAUSTED),
    ],
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_messages_that_end_the_call(prefix: tuple[int, int], code: StatusCode, is_cut: bool) -> None:
    call = GrpcCall(1, b"", Receiver())
    wire = struct.pack(">BI", *prefix)
    if is_cut:
        assert call.take(wire[:2]) is None
        wire = wire[2:]
    status = call.take(wire)
    assert status is not None
    assert status.code is code
