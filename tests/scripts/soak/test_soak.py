"""The checks of `make soak` see what they are for: a frontend that leaks or lies on purpose."""

import asyncio
from pathlib import Path

import httpx2 as httpx
import pytest

from build.errors import Failure
from scripts.soak.__main__ import Outcome, soak_for
from scripts.soak.companions import Fuzzer, failed
from scripts.soak.counters import MAX_GROWTH_MIB, MEMORY, WORKERS, FrontendCounters, leaks
from scripts.soak.scenarios import Soak, leave, stream, whole
from tests.fakes.triton_server import Script, tokens
from tests.faults.frontend_process import API_KEY, Frontend, frontend_process
from tests.frontend.conftest import MODEL

NUM_WORDS = 20
# Named before a frontend asks for the vocabulary.
WORDS = [tokens(f" w{number}") for number in range(NUM_WORDS)]
OK = [tokens("ok")]
NUM_WORKERS = 2
DURATION_S = 3
SETTLE_S = 3
# What must come back has more time for it than what never does.
PATIENT_SETTLE_S = 60
NUM_GENERATED = 60


class CountingWords:
    """w0 w1 w2 ..., as the fake Triton says them."""

    def is_unbroken(self, text: str) -> bool:
        numbers = [int(word.removeprefix("w")) for word in text.split()]
        return numbers == list(range(len(numbers)))


async def soak_it(frontend: Frontend, settle_s: float) -> Outcome:
    counters = FrontendCounters(lambda: frontend.process.pid, NUM_WORKERS, frontend.log)
    headers = {"Authorization": f"Bearer {API_KEY}"}
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=frontend.url, headers=headers, limits=limits, timeout=60) as http:
        # A length of one is reached at once, so that the fake's end needs no end id.
        soak = Soak(
            http, frontend.address, API_KEY, MODEL, CountingWords(), 1, {stream: 4, whole: 1, leave: 1}
        )
        return await soak_for(soak, counters.read, DURATION_S, settle_s=settle_s)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sabotage", "complaint"),
    [
        ("memory", "memory in MiB: "),
        ("tasks", "tasks: "),
        ("descriptors", "descriptors: "),
        ("running", "running: "),
        ("ended", "workers that ended: "),
        ("lost", "stream: 20 tokens came as "),
        ("doubled", "stream: 20 tokens came as "),
        ("silent", "stream: a stream ended without a word after "),
        ("nothing", None),
    ],
)
def test_sabotage_is_seen(sabotage: str, complaint: str | None, tmp_path: Path) -> None:
    command = ("-m", "tests.scripts.soak.leaking_frontend", sabotage)
    log = tmp_path / "log"
    with frontend_process(log, command, log_level="warning", workers=NUM_WORKERS) as frontend:
        frontend.fake.reset(Script(WORDS, ends_by_end_id=False))
        settle_s = PATIENT_SETTLE_S if complaint is None else SETTLE_S
        complaints = asyncio.run(soak_it(frontend, settle_s)).complaints
    if complaint is None:
        assert complaints == []
    else:
        assert [found for found in complaints if found.startswith(complaint)], complaints


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", ["crash", "nothing"])
def test_what_nobody_would_send(sabotage: str, tmp_path: Path) -> None:
    command = ("-m", "tests.scripts.soak.leaking_frontend", sabotage)
    with frontend_process(tmp_path / "log", command, log_level="warning") as frontend:
        frontend.fake.reset(Script(OK))
        soak = Soak(httpx.AsyncClient(), frontend.address, API_KEY, MODEL, CountingWords(), 1, {})
        Fuzzer(soak, lambda: soak.seen["generated request"] >= NUM_GENERATED).run()
    assert soak.seen["raw request"]
    assert [complaint for complaint in soak.broken if complaint.startswith("fuzz: ")] == soak.broken
    assert bool(soak.broken) == (sabotage == "crash"), soak.broken


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tests", "fails"),
    [("tests/frontend/generation/test_stop_strings.py", False), ("tests/no_such_test.py", True)],
)
def test_a_property_that_does_not_hold(tests: str, fails: bool, tmp_path: Path) -> None:
    assert asyncio.run(failed(tmp_path / "log", (tests,))) == fails


def test_memory_may_grow_a_little_and_nothing_else() -> None:
    before = {WORKERS: 2, MEMORY: 100, "tasks": 2}
    at_most = 100 + 2 * MAX_GROWTH_MIB
    assert leaks(before, {**before, MEMORY: at_most}) == []
    assert leaks(before, {**before, MEMORY: at_most + 1}) == ["memory in MiB: 100 before, 141 after"]
    assert leaks(before, {**before, MEMORY: 90, "tasks": 3}) == ["tasks: 2 before, 3 after"]


@pytest.mark.slow
def test_a_worker_that_says_nothing_is_missed(tmp_path: Path) -> None:
    with frontend_process(tmp_path / "log", workers=NUM_WORKERS) as frontend:
        counters = FrontendCounters(lambda: frontend.process.pid, NUM_WORKERS + 1, frontend.log)
        with pytest.raises(Failure, match="2 of 3 workers reported"):
            counters.read(timeout_s=5)
