"""The load on other servers, and what is made of it."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from build.failure import Failure
from scripts.bench.peers.chats import question
from scripts.bench.peers.load import Broken, count_tokens, drive
from scripts.bench.peers.run import chosen, rounds_of
from scripts.bench.peers.servers import SERVERS

ROLE = b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n'
TEXT = b'data: {"choices": [{"delta": {"content": "word"}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"completion_tokens": 7}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
def answers() -> list[tuple[int, bytes]]:
    """Status and body, the last one repeated."""
    return []


@pytest.fixture
def url(answers: list[tuple[int, bytes]]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_question_is_asked_once(url: str, answers: list[tuple[int, bytes]]) -> None:
    answers.append((200, ROLE + TEXT + USAGE + DONE))
    load = drive(url, {}, ["a", "b", "c", "d", "e"], 2)
    assert [answer.tokens for answer in load.answers] == [7] * 5
    assert all(0 < answer.first_text_s <= answer.end_s for answer in load.answers)


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (200, b""), (200, ROLE + DONE), (200, b'data: {"error": {"message": "no"}}\n\n')],
)
def test_a_load_that_is_not_answered_has_no_figures(
    status: int, body: bytes, url: str, answers: list[tuple[int, bytes]]
) -> None:
    answers.append((status, body))
    with pytest.raises(Broken):
        drive(url, {}, ["a"], 1)


def test_without_usage_the_frames_with_text_count() -> None:
    assert count_tokens(ROLE + TEXT * 3 + DONE) == 3


def test_questions_are_the_same_each_time_and_all_different() -> None:
    questions = [question(kind, number) for kind in ("short", "long") for number in range(100)]
    assert questions == [question(kind, number) for kind in ("short", "long") for number in range(100)]
    assert len({text[:16] for text in questions}) > 190


def test_ours_is_always_measured_too() -> None:
    assert chosen("vllm") == ["ours", "vllm"]
    assert chosen("1") == list(SERVERS)


@pytest.mark.parametrize("text", ["nobody", "vllm,", "ours,VLLM"])
def test_unknown_servers_are_named(text: str) -> None:
    with pytest.raises(Failure, match="there is no"):
        chosen(text)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_rounds_are_counted(text: str) -> None:
    assert rounds_of("3") == 3
    with pytest.raises(Failure, match="ROUNDS"):
        rounds_of(text)
