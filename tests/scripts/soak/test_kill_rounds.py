"""Rounds of the kind that `make kill-rounds` plays, on the replay engine."""

import asyncio

import httpx2 as httpx
import pytest

from scripts.bench.stack import HOST, served
from scripts.soak.kill_rounds import KILL, PAUSE, Round, play

API_KEY = "kill-rounds"


@pytest.mark.slow
@pytest.mark.row(40, 41)
def test_killed_processes_cost_what_runs_and_no_more_than_seconds() -> None:
    async def rounds() -> list[Round]:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        url = f"http://{HOST}:{stack.port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=180) as http:
            return await play(stack, http, [("engine", KILL), ("preprocess", KILL), ("worker", KILL)])

    variables = {"ENGINE": "replay", "TOKENS_PER_SECOND": "50", "WORKERS": "2", "API_KEYS": API_KEY}
    with served(log="kill-rounds-test.log", **variables) as stack:
        engine, preprocess, worker = asyncio.run(rounds())
    assert [engine.broken, preprocess.broken, worker.broken] == [[], [], []]
    assert engine.seen["cut"] > 0
    assert engine.seen["503"] > 0


@pytest.mark.parametrize(
    ("fault", "ready_s", "answered_s", "cut", "broken"),
    [
        (KILL, 9, 11, 30, []),
        (KILL, 11, 13, 30, ["not ready within 10 s", "no answer within 12 s"]),
        (PAUSE, 20, 20, 0, []),
        (PAUSE, 20, 20, 1, ["a pause cut streams"]),
    ],
)
def test_what_a_fault_may_cost(
    fault: str, ready_s: float, answered_s: float, cut: int, broken: list[str]
) -> None:
    played = Round("engine", fault, ready_s, answered_s)
    played.seen["cut"] = cut
    played.judge()
    assert played.broken == broken
