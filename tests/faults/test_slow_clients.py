"""Clients that take their time: to send, to go on, to read."""

import itertools
import socket
import time

import pytest

from scripts.fuzz.raw_exchange import Answer, connect, exchange, read_all, read_answer
from tests.fakes.triton_server import Script, tokens
from tests.faults.conftest import IDLE_TIMEOUT_S, RECEIVE_TIMEOUT_S, SEND_TIMEOUT_S
from tests.faults.frontend_process import Frontend
from tests.faults.raw_client import CHAT, chat_request, head

# Far above any deadline that is tested here.
MARGIN_S = 10


def drip(client: socket.socket, data: bytes) -> Answer:
    """Sends a byte every tenth of a second until an answer comes."""
    client.settimeout(0.1)
    for byte in itertools.cycle(data):
        try:
            client.send(bytes([byte]))
            answer = client.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        assert answer
        break
    client.settimeout(MARGIN_S)
    return read_answer(client)


@pytest.mark.row(12)
@pytest.mark.parametrize(
    "beginning",
    [
        b"G",
        head(f"POST {CHAT} HTTP/1.1", "Content-Length: 1000")[:-2],
        head(f"POST {CHAT} HTTP/1.1", "Content-Length: 1000"),
        head(f"POST {CHAT} HTTP/1.1", "Content-Length: 1000") + b'{"model": ',
        head(f"POST {CHAT} HTTP/1.1", "Transfer-Encoding: chunked") + b"5\r\nab",
    ],
)
def test_half_a_request(frontend: Frontend, beginning: bytes) -> None:
    start = time.monotonic()
    with connect(frontend.address) as client:
        client.sendall(beginning)
        answer = read_answer(client)
        assert read_all(client) == b""
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")
    assert RECEIVE_TIMEOUT_S <= time.monotonic() - start < RECEIVE_TIMEOUT_S + MARGIN_S


@pytest.mark.row(12)
@pytest.mark.parametrize(
    "beginning", [b"GET / HTTP/1.1\r\nX-A: ", head(f"POST {CHAT} HTTP/1.1", "Content-Length: 9999")]
)
def test_a_request_that_drips(frontend: Frontend, beginning: bytes) -> None:
    with connect(frontend.address) as client:
        client.sendall(beginning)
        assert drip(client, b"a").status == 408
    assert exchange(frontend.address, chat_request()).status == 200


@pytest.mark.row(12)
@pytest.mark.parametrize("before", [b"", chat_request()])
def test_idle_connections_are_closed_without_a_word(frontend: Frontend, before: bytes) -> None:
    with connect(frontend.address) as client:
        client.sendall(before)
        if before:
            assert read_answer(client).status == 200
        start = time.monotonic()
        assert read_all(client) == b""
    assert time.monotonic() - start < max(IDLE_TIMEOUT_S, RECEIVE_TIMEOUT_S) + MARGIN_S


@pytest.mark.row(12)
def test_half_a_request_behind_a_whole_one(frontend: Frontend) -> None:
    with connect(frontend.address) as client:
        client.sendall(chat_request() + chat_request()[:-5])
        assert read_answer_first(client)
        rest = read_all(client)
    assert rest.startswith(b"HTTP/1.1 408 ")


def read_answer_first(client: socket.socket) -> bool:
    """Reads byte by byte up to the end of the first answer, whose body is one line of JSON."""
    data = b""
    while not data.endswith(b"}}"):
        data += client.recv(1)
    return data.startswith(b"HTTP/1.1 200")


def test_a_long_answer_is_not_cut(frontend: Frontend) -> None:
    """The deadline is for taking what waits, not for the whole answer."""
    frontend.fake.reset(Script([tokens("x")], hangs_after=0))
    with connect(frontend.address) as client:
        client.sendall(chat_request(stream=True))
        time.sleep(SEND_TIMEOUT_S + RECEIVE_TIMEOUT_S + IDLE_TIMEOUT_S)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
    assert frontend.fake.stop_ended.wait(MARGIN_S)


@pytest.mark.row(47)
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_stops_reading_is_cut_off(frontend: Frontend, stream: bool) -> None:
    # 30 MB in 100 responses, and then a generation that goes on until it is stopped.
    chunks = [tokens("x" * 300_000)] * 100
    frontend.fake.reset(Script(chunks, hangs_after=100 if stream else None))
    before = frontend.rss_bytes
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(frontend.address)
        client.sendall(chat_request(stream=stream))
        if stream:
            assert frontend.fake.stop_ended.wait(SEND_TIMEOUT_S + MARGIN_S)
        else:
            time.sleep(SEND_TIMEOUT_S + 2)
        client.settimeout(MARGIN_S)
        with pytest.raises(ConnectionResetError):
            read_all(client)
    assert "was cut off" in frontend.log.read_text()
    frontend.fake.reset(Script([tokens("ok")]))
    assert exchange(frontend.address, chat_request()).status == 200
    assert frontend.rss_bytes - before < 100 * 1024 * 1024
