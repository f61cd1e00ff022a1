"""The ledger between processes; they are forked by a fresh Python, because this one has threads."""

import subprocess
import sys
import textwrap

import pytest

from frontend.errors import EngineOverloaded
from frontend.limits.ledger import MAX_KEYS, REQUESTS, SharedLedger

PRELUDE = """
import os, signal, time
from frontend.limits.ledger import REQUESTS, SharedLedger

ledger = SharedLedger(num_workers=3)

def fork(worker, work):
    pid = os.fork()
    if not pid:
        ledger.attach(worker)
        work()
        os._exit(0)
    return pid
"""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_count_is_lost_between_workers() -> None:
    script = """
        def work():
            for _ in range(2000):
                with ledger.locked():
                    ledger.usage[REQUESTS, ledger.column("team")] += 1

        for pid in [fork(worker, work) for worker in range(3)]:
            os.waitpid(pid, 0)
        print(ledger.usage_by_key()["team"]["requests"])
    """
    assert run(script) == "6000"


def test_a_worker_that_is_killed_leaves_no_lock_and_its_slots_are_given_back() -> None:
    script = """
        def work():
            with ledger.locked():
                ledger.running[ledger.worker, ledger.column("team")] = 2
                time.sleep(60)

        def other():
            with ledger.locked():
                ledger.running[ledger.worker, ledger.column("team")] = 1

        killed = fork(1, work)
        while not ledger.running.any():
            time.sleep(0.01)
        os.kill(killed, signal.SIGKILL)
        os.waitpid(killed, 0)
        os.waitpid(fork(2, other), 0)
        print(ledger.load(), end=" ")
        ledger.give_back(1)
        print(ledger.load())
    """
    assert run(script) == "(3, 0) (1, 0)"


def test_a_worker_that_is_stopped_with_the_lock_stops_no_other() -> None:
    script = """
        def hold():
            with ledger.locked():
                ledger.usage[REQUESTS, ledger.column("team")] = 1
                os.kill(os.getpid(), signal.SIGSTOP)

        def work():
            start = time.monotonic()
            for _ in range(50):
                with ledger.locked():
                    ledger.running[ledger.worker, ledger.column("team")] += 1
            # One wait for the stopped worker, not one a request.
            print(time.monotonic() - start < 50 * 0.2, end=" ", flush=True)

        stopped = fork(1, hold)
        os.waitpid(stopped, os.WUNTRACED)
        os.waitpid(fork(2, work), 0)
        os.kill(stopped, signal.SIGCONT)
        os.waitpid(stopped, 0)
        print(ledger.load(), ledger.usage_by_key()["team"]["requests"])
    """
    assert run(script) == "True (50, 0) 1"


def test_the_workers_agree_on_a_key() -> None:
    script = """
        def work():
            with ledger.locked():
                for name in ("a", "b", "c")[ledger.worker:]:
                    ledger.usage[REQUESTS, ledger.column(name)] += 1

        for worker in range(3):
            os.waitpid(fork(worker, work), 0)
        print({name: counts["requests"] for name, counts in ledger.usage_by_key().items()})
    """
    assert run(script) == "{'a': 1, 'b': 2, 'c': 3}"


def test_an_idle_key_makes_room_for_a_new_one() -> None:
    ledger = SharedLedger()
    for index in range(MAX_KEYS):
        column = ledger.column(f"key-{index}")
        ledger.usage[REQUESTS, column] = 1
        ledger.times[0, column] = index + 1
    ledger.running[0, ledger.column("key-0")] = 1
    taken = ledger.column("new")
    ledger.times[0, taken] = MAX_KEYS + 1
    assert taken == 1
    usage = ledger.usage_by_key()
    assert "key-0" in usage
    assert "key-1" not in usage
    assert usage["new"]["requests"] == 0
    assert ledger.column("key-1") == 2


def test_more_keys_at_work_than_there_is_room_for_are_refused() -> None:
    ledger = SharedLedger()
    ledger.running[:] = 1
    with pytest.raises(EngineOverloaded):
        ledger.column("new")


def test_a_worker_is_ahead_of_those_with_fewer_connections_whose_loop_turns() -> None:
    script = """
        from frontend.limits import ledger as shared_ledger

        # However slow the machine is.
        shared_ledger.LIVE_S = 30

        def show(num_connections, is_live):
            ledger.show_connections(num_connections)
            if is_live:
                ledger.show_life()

        def are_ahead(*counts, silent=()):
            for worker, count in enumerate(counts):
                os.waitpid(fork(worker, lambda: show(count, worker not in silent)), 0)
            ahead = []
            for worker in range(3):
                ledger.worker = worker
                ahead.append(ledger.is_ahead())
            return ahead

        print(are_ahead(5, 4, 4, silent=[1, 2]), are_ahead(5, 4, 4), are_ahead(2, 2, 2), are_ahead(1, 3, 2))
    """
    assert (
        run(script) == "[False, False, False] [True, False, False] [False, False, False] [False, True, True]"
    )
