"""Frames between tritonserver and this process, over one socket (frame.h, requests.c, gauge.c)."""

import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

NamedTensor: TypeAlias = tuple[str, NDArray[Any]]

START, REQUEST, CANCELLED = range(3)
_READY, _FAILED, _RESPONSE, _FLAGS, _ERROR, _FAMILY, _METRIC, _GAUGE = range(8)
_SIZE = struct.Struct("=I")
# Types by Triton's numbers (TRITONSERVER_DataType in tritonserver.h), and that of texts.
_TYPES = dict(
    enumerate(map(np.dtype, ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")), 1)
)
_TYPE_NUMBERS = {dtype: number for number, dtype in _TYPES.items()}
_BYTES = 13


class FrameReader:
    """The fields of a frame, one after the other."""

    def __init__(self, frame: bytes) -> None:
        self._frame = frame
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._frame)

    def number(self, kind: str) -> int:
        """kind: a character of struct."""
        return int(self.numbers(kind)[0])

    def numbers(self, kinds: str) -> tuple[Any, ...]:
        fields = struct.Struct("=" + kinds)
        values = fields.unpack_from(self._frame, self._at)
        self._at += fields.size
        return values

    def content(self, size: int) -> bytes:
        self._at += size
        return self._frame[self._at - size : self._at]

    def text(self) -> str:
        return self.content(self.number("I")).decode()

    def tensor(self) -> NamedTensor:
        name = self.text()
        dtype, num_dims = self.numbers("BB")
        shape = self.numbers(f"{num_dims}q")
        content = self.content(self.number("Q"))
        if dtype == _BYTES:
            return name, np.array(list(_texts(content)), np.object_).reshape(shape)
        return name, np.frombuffer(content, _TYPES[dtype]).reshape(shape)


def _texts(content: bytes) -> Iterator[bytes]:
    reader = FrameReader(content)
    while not reader.is_at_end:
        yield reader.content(reader.number("I"))


class EngineSocket:
    """Any thread may send, which raises OSError once tritonserver is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def frames(self) -> Iterator[tuple[int, FrameReader]]:
        """Kinds and fields of what comes, until tritonserver wants no more or is gone."""
        with self._connection.makefile("rb") as received:
            while len(size := received.read(_SIZE.size)) == _SIZE.size:
                frame = FrameReader(received.read(*_SIZE.unpack(size)))
                yield frame.number("B"), frame

    def tell_ready(self) -> None:
        self._send(_READY)

    def tell_failure(self, reason: str) -> None:
        self._send(_FAILED, _text(reason))

    def send_response(self, key: int, tensors: Sequence[NamedTensor], flags: int) -> None:
        self._send(_RESPONSE, struct.pack("=QBB", key, flags, len(tensors)), *map(_tensor, tensors))

    def send_flags(self, key: int, flags: int) -> None:
        """Without a response."""
        self._send(_FLAGS, struct.pack("=QB", key, flags))

    def send_error(self, key: int, code: int, text: str) -> None:
        self._send(_ERROR, struct.pack("=QB", key, code), _text(text))

    def open_family(self, name: str, text: str) -> None:
        """Families are numbered in the order in which they are opened, and so are their metrics."""
        self._send(_FAMILY, _text(name), _text(text))

    def open_metric(self, family: int, labels: Mapping[str, str]) -> None:
        texts = (_text(text) for label in labels.items() for text in label)
        self._send(_METRIC, struct.pack("=IB", family, len(labels)), *texts)

    def set_gauge(self, metric: int, value: float) -> None:
        self._send(_GAUGE, struct.pack("=Id", metric, value))

    def _send(self, kind: int, *fields: bytes) -> None:
        body = b"".join(fields)
        frame = struct.pack("=IB", len(body) + 1, kind) + body
        with self._lock:
            self._connection.sendall(frame)


def _text(text: str) -> bytes:
    content = text.encode()
    return _SIZE.pack(len(content)) + content + b"\0"


def _tensor(tensor: NamedTensor) -> bytes:
    name, array = tensor
    head, fields = _tensor_head(name, array.dtype, array.ndim)
    return head + fields.pack(*array.shape, array.nbytes) + array.tobytes()


@lru_cache
def _tensor_head(name: str, dtype: np.dtype[Any], num_dims: int) -> tuple[bytes, struct.Struct]:
    """What the tensors of all responses have in common; the shape and the size in bytes follow."""
    return _text(name) + bytes((_TYPE_NUMBERS[dtype], num_dims)), struct.Struct(f"={num_dims}qQ")
