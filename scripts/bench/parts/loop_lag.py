"""How long one client's heavy request holds up the others: the time of a liveness probe beside it."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from scripts.bench.parts.heavy_bodies import HeavyBody, heavy_bodies
from scripts.bench.stack import HOST, served

NUM_ALONE = 5
NUM_TOGETHER = 8
# The first tells how noisy the machine is.
QUIET_S = 2.0
PROBE_PAUSE_S = 0.002
TIMEOUT_S = 120


@dataclass(frozen=True)
class Lag:
    """The longest answers of the probe, in milliseconds."""

    name: str
    megabytes: float
    status: int
    """Of the answer to the body; 0 where none was sent."""
    alone: float
    """While the bodies came one after the other."""
    together: float
    """While so many came at once."""


def measure_lag() -> Iterator[Lag]:
    """A row without a body first, then one for each heavy body, on the replay engine."""
    with served(ENGINE="replay") as stack:
        with _Probe(stack.port) as probe:
            time.sleep(QUIET_S)
        yield Lag("none", 0, 0, probe.longest_ms, probe.longest_ms)
        for body in heavy_bodies(stack.model):
            yield _lag(stack.port, body)


def _lag(port: int, body: HeavyBody) -> Lag:
    with _Probe(port) as alone:
        statuses = {_status(port, body) for _ in range(NUM_ALONE)}
    with _Probe(port) as together:
        senders = [threading.Thread(target=_status, args=(port, body)) for _ in range(NUM_TOGETHER)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    megabytes = len(body.content) / 1e6
    return Lag(body.name, megabytes, max(statuses), alone.longest_ms, together.longest_ms)


def _status(port: int, body: HeavyBody) -> int:
    with closing(http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)) as connection:
        connection.request("POST", body.path, body.content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status


class _Probe:
    """Asks for liveness again and again, in a thread of its own and on one connection."""

    def __init__(self, port: int) -> None:
        self.longest_ms = 0.0
        self._port = port
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "_Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with closing(http.client.HTTPConnection(HOST, self._port, timeout=TIMEOUT_S)) as connection:
            while not self._is_over.wait(PROBE_PAUSE_S):
                start = time.monotonic()
                connection.request("GET", "/health/live")
                connection.getresponse().read()
                self.longest_ms = max(self.longest_ms, (time.monotonic() - start) * 1e3)
