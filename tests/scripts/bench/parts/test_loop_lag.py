import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from frontend.api.body import MAX_WEIGHT, json_weight
from frontend.settings import Settings
from scripts.bench.parts.loop_lag import HeavyBody, _lag, heavy_bodies

HELD_UP_S = 0.3


class _OneAtATime(BaseHTTPRequestHandler):
    """Answers a probe at once, a body after a while, and nothing else meanwhile: a loop that is held up."""

    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(HELD_UP_S)
        self._answer(400)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _OneAtATime) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_what_holds_up_the_server_shows_in_the_probe(port: int) -> None:
    lag = _lag(port, HeavyBody("some", "/", b"{}"))
    assert (lag.name, lag.status) == ("some", 400)
    # The probe may come when half of the time is over.
    assert lag.alone > HELD_UP_S * 1e3 / 2
    assert lag.together > HELD_UP_S * 1e3


@pytest.mark.parametrize("body", heavy_bodies("m"), ids=lambda body: body.name)
def test_heavy_bodies_are_let_in_to_be_validated(body: HeavyBody) -> None:
    assert len(body.content) <= Settings().max_body_bytes
    assert (json_weight(body.content) <= MAX_WEIGHT) == (body.name != "nested lists of 16 MB")
