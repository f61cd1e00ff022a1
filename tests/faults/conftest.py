"""One frontend process with short deadlines for all tests of a worker."""

from collections.abc import Iterator

import pytest

from tests.fakes.triton_server import Script, tokens
from tests.faults.frontend_process import Frontend, frontend_process

RECEIVE_TIMEOUT_S = 1.5
SEND_TIMEOUT_S = 1
IDLE_TIMEOUT_S = 2
MAX_BODY_BYTES = 1024 * 1024
# A frontend in a process of its own asks for the vocabulary once, so that these are named before it starts.
WORDS = tokens("ok", "good", "a", "b", "x", "x" * 300_000)


@pytest.fixture(scope="session")
def running_frontend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontend]:
    settings = {
        "receive_timeout_s": RECEIVE_TIMEOUT_S,
        "send_timeout_s": SEND_TIMEOUT_S,
        "idle_timeout_s": IDLE_TIMEOUT_S,
        "max_body_bytes": MAX_BODY_BYTES,
    }
    with frontend_process(tmp_path_factory.mktemp("frontend") / "log", **settings) as frontend:
        yield frontend
        assert frontend.process.poll() is None, frontend.log.read_text()


@pytest.fixture
def frontend(running_frontend: Frontend) -> Frontend:
    running_frontend.fake.reset(Script([tokens("ok")]))
    return running_frontend
