"""Raw requests, each a file that is named after the status it is answered with."""

import re

import pytest

from scripts.fuzz.corpus_request import CorpusRequest, read_corpus
from scripts.fuzz.raw_exchange import Answer, connect, exchange, read_all, read_answer
from tests.faults.frontend_process import API_KEY, Frontend
from tests.faults.raw_client import CHAT, chat_body, chat_request, head

CORPUS = read_corpus()
# Where the body ends is in doubt.
UNFRAMED = [
    request for request in CORPUS if re.match("400-(chunk-(size|longer)|.*length|.*coding)", request.name)
]
MIB = 1024 * 1024


def check(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    if status != 200 and answer.body:
        assert set(answer.error) == {"message", "type", "param", "code"}


def require_well(frontend: Frontend) -> None:
    """A good request is answered at once."""
    assert exchange(frontend.address, chat_request()).status == 200


@pytest.mark.row(9, 10, 11, 13, 15, 52)
@pytest.mark.parametrize("request_", CORPUS, ids=lambda request: request.name)
def test_corpus(frontend: Frontend, request_: CorpusRequest) -> None:
    answer = exchange(frontend.address, request_.with_key(API_KEY), request_.method)
    check(answer, request_.status)
    assert frontend.fake.requests == []
    require_well(frontend)


@pytest.mark.row(8)
def test_a_million_chunks_of_one_byte(frontend: Frontend) -> None:
    chunks = head(f"POST {CHAT} HTTP/1.1", "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 1_000_000
    # The allocator takes its last 1.5 MiB within the first 50; over 240 more it took 24 KiB.
    for _ in range(60):
        check(exchange(frontend.address, chunks, ends=True), 400)
    before = frontend.rss_bytes
    for _ in range(40):
        check(exchange(frontend.address, chunks), 400)
    assert frontend.rss_bytes - before < MIB
    require_well(frontend)


@pytest.mark.row(8)
def test_many_chunks_of_a_usual_size_pass(frontend: Frontend) -> None:
    body = chat_body(messages=[{"role": "user", "content": "x" * 500_000}])
    pieces = [body[start : start + 500] for start in range(0, len(body), 500)]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    request = head(f"POST {CHAT} HTTP/1.1", "Transfer-Encoding: chunked") + chunked
    assert exchange(frontend.address, request).status == 200


@pytest.mark.row(10)
@pytest.mark.parametrize("num_bytes", [100_000, 10_000_000])
def test_huge_paths(frontend: Frontend, num_bytes: int) -> None:
    answer = exchange(frontend.address, head(f"GET /{'a' * num_bytes} HTTP/1.1"), ends=True)
    assert answer.status in (414, 431)
    require_well(frontend)


@pytest.mark.row(9)
@pytest.mark.parametrize("request_", UNFRAMED, ids=lambda request: request.name)
def test_what_follows_unreadable_framing_is_no_request(frontend: Frontend, request_: CorpusRequest) -> None:
    """Smuggling: the rest of a body whose end is in doubt must not be read as the next request."""
    with connect(frontend.address) as client:
        client.sendall(request_.with_key(API_KEY) + chat_request())
        read_answer(client)
        read_all(client)
    assert frontend.fake.requests == []


@pytest.mark.row(52)
def test_expect_is_answered_before_the_body(frontend: Frontend) -> None:
    body = chat_body()
    with connect(frontend.address) as client:
        headers = ("Expect: 100-continue", f"Content-Length: {len(body)}")
        client.sendall(head(f"POST {CHAT} HTTP/1.1", *headers))
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(body)
        assert read_answer(client).status == 200


@pytest.mark.row(52)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_stream_to_old_and_new_clients(frontend: Frontend, version: str) -> None:
    body = chat_body(stream=True)
    request = (
        head(f"POST {CHAT} HTTP/{version}", f"Content-Length: {len(body)}", "Accept: application/xml") + body
    )
    answer = exchange(frontend.address, request, ends=version == "1.0")
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.row(52)
def test_two_requests_in_one_packet_are_answered_in_order(frontend: Frontend) -> None:
    with connect(frontend.address) as client:
        client.sendall(chat_request() + head("GET /v1/unknown HTTP/1.1", "Connection: close"))
        data = b""
        while piece := client.recv(65536):
            data += piece
    assert data.index(b"HTTP/1.1 200") < data.index(b"HTTP/1.1 404")
