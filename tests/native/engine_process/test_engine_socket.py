"""Frames on a socket, as the C side writes and reads them."""

import socket
import struct
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from engine_socket import CANCELLED, REQUEST, EngineSocket, FrameReader

INT32, UINT64, BYTES = 8, 5, 13


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, EngineSocket]]:
    """tritonserver's end, and that of the model's process."""
    theirs, ours = socket.socketpair()
    with theirs, ours:
        yield theirs, EngineSocket(ours)


def frame(kind: int, *fields: bytes) -> bytes:
    body = bytes([kind]) + b"".join(fields)
    return struct.pack("=I", len(body)) + body


def text(content: str) -> bytes:
    return struct.pack("=I", len(content.encode())) + content.encode()


def tensor(name: str, dtype: int, shape: tuple[int, ...], content: bytes) -> bytes:
    fields = struct.pack(f"=BB{len(shape)}qQ", dtype, len(shape), *shape, len(content))
    return text(name) + fields + content


def read_frames(theirs: socket.socket) -> list[FrameReader]:
    theirs.settimeout(1)
    received = b""
    try:
        while chunk := theirs.recv(1 << 16):
            received += chunk
    except TimeoutError:
        pass
    reader, frames = FrameReader(received), []
    while not reader.is_at_end:
        frames.append(FrameReader(reader.content(reader.number("I"))))
    return frames


def test_a_frame_that_comes_in_pieces_is_whole(ends: tuple[socket.socket, EngineSocket]) -> None:
    theirs, ours = ends
    sent = frame(CANCELLED, struct.pack("=Q", 7)) + frame(CANCELLED, struct.pack("=Q", 8))

    def send() -> None:
        for place in range(len(sent)):
            theirs.sendall(sent[place : place + 1])
        theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    assert [(kind, fields.number("Q")) for kind, fields in ours.frames()] == [(CANCELLED, 7), (CANCELLED, 8)]
    thread.join()


def test_half_a_frame_is_none(ends: tuple[socket.socket, EngineSocket]) -> None:
    theirs, ours = ends
    theirs.sendall(frame(CANCELLED, struct.pack("=Q", 7)) + b"\1\0")
    theirs.shutdown(socket.SHUT_WR)
    assert len(list(ours.frames())) == 1


def test_tensors_of_numbers_and_of_texts_are_read(ends: tuple[socket.socket, EngineSocket]) -> None:
    theirs, ours = ends
    texts = text("Grüße") + text("")
    theirs.sendall(
        frame(
            REQUEST,
            tensor("ids", INT32, (1, 3), np.array([1, -2, 3], np.int32).tobytes()),
            tensor("texts", BYTES, (1, 2), texts),
            tensor("seed", UINT64, (1,), np.array([2**64 - 1], np.uint64).tobytes()),
            tensor("nothing", INT32, (2, 0), b""),
        )
    )
    _, fields = next(ours.frames())
    tensors = dict(fields.tensor() for _ in range(4))
    assert tensors["ids"].tolist() == [[1, -2, 3]]
    assert tensors["texts"].tolist() == [["Grüße".encode(), b""]]
    assert tensors["seed"].item() == 2**64 - 1
    assert tensors["nothing"].shape == (2, 0)
    assert fields.is_at_end


def test_a_response_is_written_as_it_is_read(ends: tuple[socket.socket, EngineSocket]) -> None:
    theirs, ours = ends
    transposed = np.arange(6, dtype=np.int32).reshape(2, 3).T
    ours.send_response(9, [("output_ids", transposed)], 1)
    (fields,) = read_frames(theirs)
    assert fields.numbers("BQBB") == (2, 9, 1, 1)
    name = fields.text()
    assert (name, fields.content(1)) == ("output_ids", b"\0")
    assert fields.numbers("BB2qQ") == (INT32, 2, 3, 2, 24)
    assert fields.content(24) == np.ascontiguousarray(transposed).tobytes()
    assert fields.is_at_end


def test_threads_do_not_mix_their_frames(ends: tuple[socket.socket, EngineSocket]) -> None:
    theirs, ours = ends

    def send(key: int) -> None:
        for _ in range(50):
            ours.send_response(key, [("output_ids", np.full(100, key, np.int32))], 0)

    threads = [threading.Thread(target=send, args=(key,)) for key in range(4)]
    for thread in threads:
        thread.start()
    frames = read_frames(theirs)
    for thread in threads:
        thread.join()
    assert len(frames) == 200
    for fields in frames:
        _, key, _, _ = fields.numbers("BQBB")
        fields.text()
        fields.content(1)
        fields.numbers("BBqQ")
        assert set(np.frombuffer(fields.content(400), np.int32)) == {key}


def test_sending_to_nobody_raises(ends: tuple[socket.socket, EngineSocket]) -> None:
    theirs, ours = ends
    theirs.close()
    with pytest.raises(OSError, match="Broken pipe"):
        ours.tell_ready()
