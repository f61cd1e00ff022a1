"""`make trace`: the files of frontend/ that one chat request crosses, and that one token of a stream crosses.

The frontend runs in this process, in front of a replay engine, or of the Triton at the address that is given.
A crossing is a call of a function in the file, or the going on of one that had waited.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from json import dumps
from statistics import mode
from types import FrameType

from build.errors import Failure, run
from build.paths import ROOT
from frontend import __main__ as frontend
from scripts.bench.stack import served
from serving import ports
from serving.health import TritonHealth, frontend_answers
from serving.settings import LOOPBACK

FRONTEND = f"{ROOT / 'frontend'}{os.sep}"
START_TIMEOUT_S = 30.0
NUM_REQUESTS = 20
# Events of a stream that are passed before tokens are looked at one by one, and those that are.
NUM_PASSED = 8
NUM_TOKENS = 20
# Fast, so that the frontend does little else meanwhile, and slow enough to tell one token from the next.
TOKENS_PER_S = 80
# What is still done once the client has its bytes.
SETTLE_S = 0.004

Calls = Mapping[str, int]
"""File -> how often it was crossed, in the order of the first time."""


class Crossings:
    """A profile function (sys.setprofile) of the thread in which the frontend runs."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(FRONTEND):
            file = frame.f_code.co_filename.removeprefix(FRONTEND)
            self._calls[file] = self._calls.get(file, 0) + 1

    def take(self) -> Calls:
        """Those since the last time."""
        time.sleep(SETTLE_S)
        taken, self._calls = self._calls, {}
        return taken


def main() -> int:
    """Prints the lists; the argument is Triton's address, HOST:PORT."""
    if len(sys.argv) > 1:
        trace(sys.argv[1])
    else:
        with served(ENGINE="replay", TOKENS_PER_SECOND=str(TOKENS_PER_S)) as stack:
            trace(stack.grpc_address)
    return 0


def trace(address: str) -> None:
    """Serves the requests of another thread in this one, until that ends it."""
    client = _Client(TritonHealth(address).served_model_name())
    os.environ |= {
        "FRONTEND_HOST": LOOPBACK,
        "FRONTEND_PORT": str(client.port),
        "TRITON_GRPC_ADDRESSES": address,
        "WORKERS": "1",
        "LOG_LEVEL": "warning",
    }
    for name in ("API_KEYS", "API_KEYS_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE"):
        os.environ.pop(name, None)
    with ThreadPoolExecutor(1) as other_thread:
        lists = other_thread.submit(client.traced)
        sys.setprofile(client.crossings)
        frontend.main()
        sys.setprofile(None)
    for what, calls in lists.result().items():
        print(f"\n{what} crosses {len(calls)} files of frontend/:")
        for file, number in calls.items():
            print(f"{number:6} {file}")


def usual(windows: Sequence[Calls]) -> Calls:
    """What three windows of four have in common: what is done beside it now and then does not count.

    In the order of a window that begins as most do.
    """
    beginning = mode(next(iter(window), "") for window in windows)
    ordered = sorted(windows, key=lambda window: next(iter(window), "") != beginning)
    files = dict.fromkeys(file for window in ordered for file in window)
    least = {file: sorted(window.get(file, 0) for window in windows)[len(windows) // 4] for file in files}
    return {file: number for file, number in least.items() if number}


class _Client:
    def __init__(self, model: str) -> None:
        self.port = ports.free()
        self.crossings = Crossings()
        self._model = model

    def traced(self) -> dict[str, Calls]:
        """Ends the frontend afterwards."""
        try:
            self._wait_for_frontend()
            return {
                "A chat request that is answered whole": usual([*self._requests(stream=False)]),
                "A chat request that is answered by a stream": usual([*self._requests(stream=True)]),
                "A token of a stream": usual([*self._tokens()]),
            }
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def _requests(self, stream: bool) -> Iterator[Calls]:
        self._ask(2, stream).read()
        for _ in range(NUM_REQUESTS):
            self.crossings.take()
            self._ask(2, stream).read()
            yield self.crossings.take()

    def _tokens(self) -> Iterator[Calls]:
        with self._ask(NUM_PASSED + 2 * NUM_TOKENS, stream=True) as answer:
            for number in range(NUM_PASSED + NUM_TOKENS):
                while answer.readline() != b"\n":
                    pass
                calls = self.crossings.take()
                if number >= NUM_PASSED:
                    yield calls
            answer.read()

    def _ask(self, num_tokens: int, stream: bool) -> HTTPResponse:
        """On a connection of its own."""
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": "Count to a hundred."}],
            "max_tokens": num_tokens,
            "ignore_eos": True,
            "stream": stream,
        }
        connection = HTTPConnection(LOOPBACK, self.port)
        headers = {"Content-Type": "application/json", "Connection": "close"}
        connection.request("POST", "/v1/chat/completions", dumps(body), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise Failure(f"the frontend answered with {answer.status}: {answer.read().decode()}")
        return answer

    def _wait_for_frontend(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not frontend_answers(f"http://{LOOPBACK}:{self.port}", "/health/ready"):
            if time.monotonic() > deadline:
                raise Failure(f"the frontend was not ready within {START_TIMEOUT_S:g} s")
            time.sleep(0.1)


if __name__ == "__main__":
    run(main)
