"""What runs beside the clients: requests that nobody would write, and the properties of texts.

None of the requests is a 5xx, and none breaks the connection.
"""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h11
import httpx2 as httpx
from hypothesis import HealthCheck, Phase, given, seed, settings

from build.paths import LOGS
from scripts.fuzz.corpus_request import CorpusRequest, read_corpus
from scripts.fuzz.generated_request import (
    ENDPOINTS,
    GeneratedRequest,
    Requests,
    any_body,
    any_value,
    described_requests,
)
from scripts.fuzz.raw_exchange import exchange
from scripts.soak.faults import DICE
from scripts.soak.scenarios import REFUSALS, Soak
from serving.process import Process

# Of each generator in turn.
NUM_EXAMPLES = 20
# Who asks for thousands of tokens leaves before they have come.
PATIENCE_S = 2.0
START_S = 60.0
# What an answer that has begun to stream says when it ends otherwise than it should.
ERROR_EVENTS = (b'data: {"error"', b"event: error", b"event: response.failed")
SHOWN_BYTES = 600
PROPERTIES_LOG = LOGS / "soak-properties.log"
TESTS = (
    "tests/frontend/generation/test_text.py",
    "tests/frontend/generation/test_stop_strings.py",
    "tests/model_repository/postprocess/test_chunk_decoder.py",
)
# The profile that tests/conftest.py registers.
PYTEST = ("-m", "pytest", "--hypothesis-profile=soak", "-p", "no:cacheprovider", "--maxfail=1")


async def fuzz(soak: Soak, until: float) -> None:
    """One request after the other, until the time of the event loop."""
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(Fuzzer(soak, lambda: loop.time() >= until).run)


class Fuzzer:
    """Sends until it is over; to be run in a thread, for generating takes long."""

    def __init__(self, soak: Soak, is_over: Callable[[], bool]) -> None:
        self._soak = soak
        self._is_over = is_over
        headers = {"Authorization": f"Bearer {soak.key}", "Content-Type": "application/json"}
        host, port = soak.address
        self._http = httpx.Client(base_url=f"http://{host}:{port}", headers=headers, timeout=PATIENCE_S)

    def run(self) -> None:
        with self._http:
            for send in itertools.cycle(self._sources()):
                if self._is_over():
                    return
                send()

    def _sources(self) -> Iterator[Callable[[], None]]:
        yield partial(self._send_all, read_corpus())
        description = self._http.get("/openapi.json", timeout=START_S).raise_for_status().json()
        generators = list(described_requests(description, self._soak.model).values())
        for path in ENDPOINTS:
            generators += [any_value(path, self._soak.model), any_body(path)]
        for generator in generators:
            yield partial(self._generate, generator)

    def _generate(self, requests: Requests) -> None:
        @seed(DICE.getrandbits(64))
        @settings(
            max_examples=NUM_EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(requests)
        def each(request: GeneratedRequest) -> None:
            if not self._is_over():
                self._send(request)

        each()

    def _send(self, request: GeneratedRequest) -> None:
        self._soak.seen["generated request"] += 1
        num_outages = self._soak.outages.num
        try:
            status, content = self._answer(request)
        except httpx.TimeoutException:
            return
        except httpx.TransportError as error:
            self._complain(request, f"the connection broke: {error!r}")
            return
        is_failed = status >= 500 or any(event in content for event in ERROR_EVENTS)
        if is_failed and not self._is_excused(status, num_outages):
            self._complain(request, f"{status} {content[:SHOWN_BYTES]!r}")

    def _answer(self, request: GeneratedRequest) -> tuple[int, bytes]:
        """As much of it as comes in time."""
        deadline = time.monotonic() + PATIENCE_S
        content = b""
        with self._http.stream(request.method, request.path, content=request.body) as answer:
            for piece in answer.iter_raw():
                content += piece
                if time.monotonic() > deadline:
                    break
        return answer.status_code, content

    def _send_all(self, corpus: list[CorpusRequest]) -> None:
        for request in corpus:
            if self._is_over():
                return
            self._soak.seen["raw request"] += 1
            num_outages = self._soak.outages.num
            try:
                answer = exchange(self._soak.address, request.with_key(self._soak.key), request.method)
            except (OSError, h11.RemoteProtocolError) as error:
                self._complain(request.name, f"the connection broke: {error!r}")
                continue
            if answer.status != request.status and not self._is_excused(answer.status, num_outages):
                self._complain(request.name, f"{answer.status} {answer.body[:SHOWN_BYTES]!r}")

    def _is_excused(self, status: int, num_outages: int) -> bool:
        """Refused while Triton is away, or broken off when it goes."""
        return status in {200, *REFUSALS} and self._soak.outages.since(num_outages)

    def _complain(self, request: Any, answer: str) -> None:
        self._soak.broken.append(f"fuzz: {request} was answered with {answer}")


async def check_properties(soak: Soak, until: float) -> None:
    """Passes of new examples, until the time of the event loop; one that has begun is finished."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        soak.seen["pass of the text properties"] += 1
        if await failed(PROPERTIES_LOG, TESTS):
            soak.broken.append(f"properties: a test failed; its example is in {PROPERTIES_LOG}")
            return


async def failed(log: Path, tests: tuple[str, ...]) -> bool:
    """Whether one of the tests fails, or there are none; what pytest says is in the log."""
    passing = Process("properties", [sys.executable, *PYTEST, *tests], os.environ, log)
    try:
        while passing.exit_code is None:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.2)
    finally:
        passing.stop()
    return passing.exit_code != 0
