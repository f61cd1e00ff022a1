"""Two real workers of one frontend: what they share, and what happens when one of them dies."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from frontend.keys.key import digest
from scripts.fuzz.raw_exchange import Answer, connect, exchange, read_answer
from tests.fakes.triton_server import Script, tokens
from tests.faults.frontend_process import API_KEY, Frontend, frontend_process
from tests.faults.raw_client import chat_request, head
from tests.patience import PATIENCE_S, is_gone, wait_until


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def worker_pids(frontend: Frontend) -> list[int]:
    pid = frontend.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def two_workers(log: Path, **settings: object) -> Iterator[Frontend]:
    with frontend_process(log, workers=2, **settings) as frontend:
        # The port listens before there are workers.
        wait_until(lambda: len(worker_pids(frontend)) == 2)
        for pid in worker_pids(frontend):
            with only(frontend, pid):
                assert exchange(frontend.address, head("GET /health/ready HTTP/1.1")).status == 200
        yield frontend


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("T")


@contextmanager
def only(frontend: Frontend, pid: int) -> Iterator[None]:
    """The other workers are stopped, so that this one takes what comes."""
    others = [other for other in worker_pids(frontend) if other != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    # A signal takes its time: until then it might take a connection, and never answer.
    wait_until(lambda: all(is_gone(other) or is_stopped(other) for other in others))
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def ask(frontend: Frontend) -> Answer:
    return exchange(frontend.address, chat_request())


def begin(stack: ExitStack, frontend: Frontend) -> socket.socket:
    client = stack.enter_context(connect(frontend.address))
    client.sendall(chat_request(stream=True))
    return client


def test_slots_and_the_line_hold_for_both_together(log: Path) -> None:
    with two_workers(log, max_concurrent_requests=4, max_queued_requests=2) as frontend, ExitStack() as stack:
        first, second = worker_pids(frontend)
        frontend.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
        with only(frontend, first):
            running = [begin(stack, frontend) for _ in range(3)]
            wait_until(lambda: len(frontend.fake.requests) == 3)
        with only(frontend, second):
            running.append(begin(stack, frontend))
            wait_until(lambda: len(frontend.fake.requests) == 4)
            waiting = [begin(stack, frontend) for _ in range(2)]
            # Later connections are read later: when the last is refused, those before it are in line.
            assert [ask(frontend).status for _ in range(3)] == [429] * 3
        with only(frontend, first):
            assert [ask(frontend).status for _ in range(3)] == [429] * 3
        assert len(frontend.fake.requests) == 4
        frontend.fake.released.set()
        assert [read_answer(client).status for client in running + waiting] == [200] * 6


def num_sockets(pid: int) -> int:
    found = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        # One may be closed meanwhile.
        with suppress(FileNotFoundError):
            found += os.readlink(file).startswith("socket:")
    return found


def test_streams_that_come_at_once_are_shared(log: Path) -> None:
    with two_workers(log, max_concurrent_requests=20) as frontend, ExitStack() as stack:
        pids = worker_pids(frontend)
        frontend.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
        before = [num_sockets(pid) for pid in pids]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(20):
            begin(stack, frontend)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: len(frontend.fake.requests) == 20)
        shares = [num_sockets(pid) - count for pid, count in zip(pids, before, strict=True)]
        # 10 each, where both get a core as soon as they want it.
        assert min(shares) >= 5


def test_limits_of_a_key_hold_for_both_together(log: Path, tmp_path: Path) -> None:
    entry = {"name": "team", "sha256": digest(API_KEY), "requests_per_minute": 5}
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [entry]}))
    with two_workers(log, api_keys="", api_keys_file=file) as frontend:
        statuses = []
        for pid in worker_pids(frontend) * 2:
            with only(frontend, pid):
                statuses += [ask(frontend).status for _ in range(2)]
        assert statuses == [200] * 5 + [429] * 3


def test_each_worker_tells_the_metrics_of_both(log: Path) -> None:
    with two_workers(log) as frontend:
        frontend.fake.reset(Script([tokens("a"), tokens("b")]))
        first, second = worker_pids(frontend)
        for pid in (first, first, second):
            with only(frontend, pid):
                assert ask(frontend).status == 200
        for pid in (first, second):
            with only(frontend, pid):
                assert finished_requests(frontend) == 3
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: is_gone(first) and len(worker_pids(frontend)) == 2)
        assert finished_requests(frontend) == 3


def finished_requests(frontend: Frontend) -> float:
    text = exchange(frontend.address, head("GET /metrics HTTP/1.1")).body.decode()
    (line,) = [line for line in text.splitlines() if 'finished_reason="stop"' in line]
    return float(line.rpartition(" ")[2])


def test_a_worker_that_is_killed_gives_its_slots_back_and_comes_again(log: Path) -> None:
    with two_workers(log, max_concurrent_requests=2, max_queued_requests=0) as frontend, ExitStack() as stack:
        first, second = worker_pids(frontend)
        frontend.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
        with only(frontend, first):
            for _ in range(2):
                begin(stack, frontend)
            wait_until(lambda: len(frontend.fake.requests) == 2)
        with only(frontend, second):
            assert ask(frontend).status == 429
        os.kill(first, signal.SIGKILL)
        frontend.fake.reset(Script([tokens("ok")]))
        wait_until(lambda: ask(frontend).status == 200)
        wait_until(lambda: len(worker_pids(frontend)) == 2)
        (third,) = set(worker_pids(frontend)) - {second}
        with only(frontend, third):
            assert ask(frontend).status == 200


def test_what_a_killed_worker_ran_is_stopped_by_its_successor(log: Path) -> None:
    with two_workers(log, max_concurrent_requests=8) as frontend, ExitStack() as stack:
        first, second = worker_pids(frontend)
        frontend.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
        for pid, num_streams in ((first, 3), (second, 2)):
            before = len(frontend.fake.requests)
            with only(frontend, pid):
                for _ in range(num_streams):
                    begin(stack, frontend)
                wait_until(lambda expected=before + num_streams: len(frontend.fake.requests) == expected)
        lost = {request.id for request in frontend.fake.requests[:3]}
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: set(frontend.fake.stopped_ids) == lost)
        assert frontend.fake.num_running == 2
        frontend.fake.released.set()


def test_a_worker_that_hangs_is_replaced(log: Path) -> None:
    with two_workers(log) as frontend:
        first, second = worker_pids(frontend)
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: is_gone(first))
        wait_until(lambda: len(worker_pids(frontend)) == 2)
        assert second in worker_pids(frontend)


def is_draining(frontend: Frontend) -> bool:
    try:
        return exchange(frontend.address, head("GET /health/ready HTTP/1.1")).status == 503
    except TimeoutError:
        # Of the others, which a test has stopped, none answers where the one that was left has ended.
        return False


def test_streams_of_both_finish_after_sigterm(log: Path) -> None:
    with two_workers(log, shutdown_grace_s=60) as frontend, ExitStack() as stack:
        pids = worker_pids(frontend)
        frontend.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
        clients = []
        for num_running, pid in enumerate(pids, start=1):
            with only(frontend, pid):
                clients.append(begin(stack, frontend))
                wait_until(lambda num=num_running: len(frontend.fake.requests) == num)
        frontend.process.terminate()
        # The parent passes the signal on: until then a worker still takes what comes.
        for pid in pids:
            with only(frontend, pid):
                wait_until(lambda: is_draining(frontend))
        with connect(frontend.address) as late:
            late.sendall(chat_request())
            assert read_answer(late).status == 503
        assert frontend.process.poll() is None
        frontend.fake.released.set()
        for client in clients:
            assert read_answer(client).body.endswith(b"data: [DONE]\n\n")
        assert frontend.process.wait(PATIENCE_S) == 0
        assert all(is_gone(pid) for pid in pids)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_all_at_once(log: Path, second: signal.Signals) -> None:
    with two_workers(log, shutdown_grace_s=600) as frontend, ExitStack() as stack:
        pids = worker_pids(frontend)
        frontend.fake.reset(Script([tokens("a"), tokens("b")], hangs_after=1))
        begin(stack, frontend)
        wait_until(lambda: len(frontend.fake.requests) == 1)
        frontend.process.terminate()
        for pid in pids:
            with only(frontend, pid):
                # One that serves nobody ends as soon as it hears of it.
                wait_until(lambda pid=pid: pid not in worker_pids(frontend) or is_draining(frontend))
        frontend.process.send_signal(second)
        assert frontend.process.wait(PATIENCE_S) == -second
        assert all(is_gone(pid) for pid in pids)


def test_workers_do_not_outlive_their_parent(log: Path) -> None:
    with two_workers(log) as frontend:
        pids = worker_pids(frontend)
        frontend.process.kill()
        frontend.process.wait()
        wait_until(lambda: all(is_gone(pid) for pid in pids))


def test_a_port_that_is_taken_stops_the_start(log: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(AssertionError, match="FRONTEND_PORT"),
        frontend_process(log, workers=2, frontend_host="127.0.0.1", frontend_port=taken.getsockname()[1]),
    ):
        pass
