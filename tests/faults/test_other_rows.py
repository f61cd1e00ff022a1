"""Rows of the table that no other file holds."""

import json
from pathlib import Path

import pytest

from scripts.fuzz.raw_exchange import exchange
from serving import ports
from tests.fakes.triton_server import Script, tokens
from tests.faults.conftest import MAX_BODY_BYTES
from tests.faults.frontend_process import Frontend, frontend_process
from tests.faults.raw_client import CHAT, chat_body, chat_request, head

MIB = 1024 * 1024
# Names that mean something to Triton as parameters of a request.
RESERVED = ["timeout", "priority", "sequence_id", "sequence_start", "headers", "triton_final_response"]


def post(frontend: Frontend, body: bytes, *headers: str) -> int:
    request = head(f"POST {CHAT} HTTP/1.1", f"Content-Length: {len(body)}", *headers) + body
    return exchange(frontend.address, request).status


@pytest.mark.row(7)
def test_a_body_of_just_the_limit_passes(frontend: Frontend) -> None:
    body = chat_body().ljust(MAX_BODY_BYTES)
    assert post(frontend, body) == 200
    assert post(frontend, body + b" ") == 413
    chunked = head(f"POST {CHAT} HTTP/1.1", "Transfer-Encoding: chunked")
    for size, status in ((MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 413)):
        data = body.ljust(size)
        request = chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
        assert exchange(frontend.address, request).status == status


@pytest.mark.row(6)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_coded_bodies_are_not_read(frontend: Frontend, coding: str) -> None:
    post(frontend, b"\x1f\x8b" * 1000, f"Content-Encoding: {coding}")
    before = frontend.rss_bytes
    for _ in range(50):
        assert post(frontend, b"\x1f\x8b" * 50_000, f"Content-Encoding: {coding}") == 415
    assert frontend.rss_bytes - before < 4 * MIB


@pytest.mark.row(19)
@pytest.mark.parametrize("text", ["\0", "a\0b", "\x01\x02\x7f", "\u200b", "\ufffe"])
def test_odd_characters_pass_unchanged(frontend: Frontend, text: str) -> None:
    answer = exchange(frontend.address, chat_request(messages=[{"role": "user", "content": text}]))
    assert answer.status == 200
    (messages,) = frontend.fake.inputs()["messages"]
    assert json.loads(messages)[0]["content"] == text


@pytest.mark.row(22, 36)
@pytest.mark.parametrize("field", ["chat_template", "chat_template_kwargs", "documents", *RESERVED])
def test_unknown_fields_reach_nobody(frontend: Frontend, field: str) -> None:
    status = exchange(frontend.address, chat_request(**{field: "{{ 1 }}"})).status
    assert status in (200, 400)
    for request in frontend.fake.requests:
        assert set(request.parameters) == {"triton_enable_empty_final_response"}
        assert field not in frontend.fake.inputs()


@pytest.mark.row(37)
def test_a_good_request_among_two_hundred_bad_ones(frontend: Frontend) -> None:
    frontend.fake.reset(Script([tokens("good")]))
    bad = [chat_request(temperature=3), chat_request(messages=[]), b"nonsense\r\n\r\n", chat_request(n=10**9)]
    for index in range(200):
        assert 400 <= exchange(frontend.address, bad[index % len(bad)]).status < 500
        if index % 50 == 25:
            answer = exchange(frontend.address, chat_request())
            assert json.loads(answer.body)["choices"][0]["message"]["content"] == "good"


@pytest.mark.row(39)
def test_without_triton_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{ports.free()}"
    with frontend_process(tmp_path / "log", triton_grpc_addresses=nobody) as frontend:
        assert exchange(frontend.address, head("GET /health/live HTTP/1.1")).status == 200
        assert exchange(frontend.address, head("GET /health/ready HTTP/1.1")).status == 503
        answer = exchange(frontend.address, chat_request())
        assert (answer.status, answer.error["code"]) == (503, "service_unavailable")
        assert answer.headers["retry-after"]
