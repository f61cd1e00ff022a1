"""A client without manners: bytes out, bytes in, over one socket."""

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import h11

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, TIMEOUT_S)


def exchange(
    address: tuple[str, int], data: bytes | Iterable[bytes], method: str = "POST", ends: bool = False
) -> Answer:
    """Sends everything and reads one answer, after which the server must close if it `ends`."""
    with connect(address) as client:
        try:
            for piece in [data] if isinstance(data, bytes) else data:
                client.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was all sent; the answer tells why
        answer = read_answer(client, method)
        if ends and read_all(client) != b"":
            raise AssertionError("more came behind the answer")
        return answer


def read_answer(client: socket.socket, method: str = "POST") -> Answer:
    """Raises h11.RemoteProtocolError for what is no answer, or not a whole one."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    head, body = None, b""
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(client.recv(65536))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            break
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("the connection was closed without an answer")
    headers = {name.decode(): value.decode() for name, value in head.headers}
    return Answer(head.status_code, headers, body)


def read_all(client: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data
