"""A token or an answer that is too late: 504, or an error frame once the stream has begun."""

import asyncio
from typing import Any

import httpx2 as httpx
import pytest

from frontend.triton.deadlines import Sweeper
from tests.fakes.served_frontend import served_frontend
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.fakes.triton_servers import fake_servers
from tests.frontend.conftest import MODEL

LONG_S = 60.0
SHORT_S = 0.5
STEADY = Script([tokens("a")] * 6, pause_s=0.3)
ENDLESS = Script([tokens("a")] * 1000, pause_s=0.05)


def ask(script: Script, stream: bool, **settings: float) -> tuple[httpx.Response, FakeTriton]:
    """The answer of a frontend with these deadlines; by then the engine must have nothing left to do."""
    names = ("first_token_timeout_s", "token_timeout_s", "request_timeout_s")
    deadlines = dict.fromkeys(names, LONG_S) | settings
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
    }

    async def run() -> tuple[httpx.Response, FakeTriton]:
        fake = FakeTriton(script)
        async with fake_servers(fake) as servers, served_frontend(servers, **deadlines) as frontend:
            async with httpx.AsyncClient(base_url=frontend.url, timeout=30) as client:
                answer = await client.post("/v1/chat/completions", json=body)
            for _ in range(100):
                if not fake.num_running:
                    break
                await asyncio.sleep(0.05)
            assert fake.num_running == 0
        return answer, fake

    return asyncio.run(run())


@pytest.mark.row(43)
def test_no_first_token() -> None:
    answer, fake = ask(Script([tokens("a")], hangs_after=0), stream=True, first_token_timeout_s=SHORT_S)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert set(fake.stopped_ids) == {fake.requests[0].id}


def test_no_first_token_after_a_comment() -> None:
    script = Script([tokens("a")], hangs_after=0)
    answer, _ = ask(script, stream=True, first_token_timeout_s=SHORT_S, keep_alive_s=0.1)
    assert answer.status_code == 200
    assert answer.text.startswith(": keep-alive\n\n")
    assert '"code": "timeout"' in answer.text.split("\n\n")[-2]


@pytest.mark.row(43)
def test_silence_between_tokens() -> None:
    answer, fake = ask(Script([tokens("a")] * 3, hangs_after=1), stream=True, token_timeout_s=SHORT_S)
    assert answer.status_code == 200
    assert '"content":"a"' in answer.text
    assert '"code": "timeout"' in answer.text.split("\n\n")[-2]
    assert "[DONE]" not in answer.text
    assert set(fake.stopped_ids) == {fake.requests[0].id}


@pytest.mark.row(43)
def test_an_answer_without_end() -> None:
    answer, _ = ask(ENDLESS, stream=True, request_timeout_s=SHORT_S)
    assert answer.status_code == 200
    assert answer.text.count('"content":"a"') > 1
    assert '"code": "timeout"' in answer.text.split("\n\n")[-2]


def test_a_whole_answer_has_the_deadline_for_all_of_it() -> None:
    answer, fake = ask(Script([tokens("a")], hangs_after=0), stream=False, request_timeout_s=SHORT_S)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "timeout")
    assert set(fake.stopped_ids) == {fake.requests[0].id}


def test_a_whole_answer_comes_at_once_and_has_no_other() -> None:
    script = Script([tokens("a")], pause_s=1)
    answer, _ = ask(script, stream=False, first_token_timeout_s=0.2, token_timeout_s=0.2)
    assert answer.json()["choices"][0]["message"]["content"] == "a"


def test_a_steady_stream_may_last_longer_than_its_pauses_may() -> None:
    answer, _ = ask(STEADY, stream=True, first_token_timeout_s=1.2, token_timeout_s=1.2)
    assert answer.text.count('"content":"a"') == 6
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.row(44)
def test_a_final_response_that_never_comes() -> None:
    answer, _ = ask(Script(answers=[], hangs_at_end=True), stream=True, first_token_timeout_s=SHORT_S)
    assert answer.status_code == 504


class Watched:
    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at
        self.num_expired = 0

    def expire(self) -> None:
        self.num_expired += 1
        self.expires_at = float("inf")


@pytest.mark.parametrize("num_watched", [1, 100])
def test_one_task_watches_all_and_ends_with_them(num_watched: int) -> None:
    async def run() -> None:
        sweeper, now = Sweeper(), asyncio.get_running_loop().time()
        late = [Watched(now) for _ in range(num_watched)]
        early = [Watched(now + LONG_S) for _ in range(num_watched)]
        num_tasks = len(asyncio.all_tasks())
        for watched in late + early:
            sweeper.add(watched)
        assert len(asyncio.all_tasks()) == num_tasks + 1
        await asyncio.sleep(SHORT_S)
        assert {watched.num_expired for watched in late} == {1}
        assert {watched.num_expired for watched in early} == {0}
        for watched in late + early:
            sweeper.discard(watched)
        await asyncio.sleep(SHORT_S)
        assert len(asyncio.all_tasks()) == num_tasks

    asyncio.run(run())
