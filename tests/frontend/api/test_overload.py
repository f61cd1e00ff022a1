"""More requests than the engine takes: the line, its bound, and what is left when clients have gone."""

import asyncio
import concurrent.futures
import itertools
import random
import time
from collections.abc import Iterator

import anthropic
import httpx2 as httpx
import openai
import pytest

from tests.fakes.clients import anthropic_client, http_client, openai_client
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack, serving

HEADERS = {"Authorization": f"Bearer {API_KEY}"}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
# Made once, as it takes longer than a request; every request takes a connection of its own.
OPEN = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), verify=False)
HANGS = Script([tokens("a"), tokens("b")], hangs_after=1)
HELLO = Script([tokens("a"), tokens("b")])


@pytest.fixture
def busy() -> Iterator[Stack]:
    """Two slots and a line of two."""
    settings = {"max_concurrent_requests": 2, "max_queued_requests": 2, "queue_timeout_s": 30}
    with serving(**settings) as stack:
        yield stack


class Streams:
    """Streams that go on until they are closed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._client = http_client(stack.url, API_KEY, timeout=10)
        self.open: list[httpx.Response] = []

    def start(self) -> None:
        """Returns once its first token has come."""
        self._stack.fake.script = HANGS
        request = self._client.build_request("POST", "/v1/chat/completions", json=CHAT | {"stream": True})
        self.open.append(self._client.send(request, stream=True))

    def close(self) -> None:
        for answer in self.open:
            answer.close()
        self._client.close()


@pytest.fixture
def streams(busy: Stack) -> Iterator[Streams]:
    streams = Streams(busy)
    yield streams
    streams.close()


def wait_for_load(stack: Stack, load: tuple[int, int]) -> None:
    deadline = time.monotonic() + 5
    while stack.ledger.load() != load:
        assert time.monotonic() < deadline, stack.ledger.load()
        time.sleep(0.01)


def ask(stack: Stack, **fields: object) -> httpx.Response:
    return OPEN.post(f"{stack.url}/v1/chat/completions", json=CHAT | fields, headers=HEADERS, timeout=10)


@pytest.mark.row(38)
def test_what_finds_no_place_is_refused_at_once_and_a_freed_slot_is_used_at_once(
    busy: Stack, streams: Streams
) -> None:
    streams.start()
    streams.start()
    busy.fake.script = HELLO
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = [pool.submit(ask, busy) for _ in range(2)]
        wait_for_load(busy, (2, 2))
        refused = ask(busy)
        assert refused.status_code == 429
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("1", "1000")
        with anthropic_client(busy.url, API_KEY) as client:
            with pytest.raises(anthropic.RateLimitError) as caught:
                client.messages.create(model=MODEL, messages=CHAT["messages"], max_tokens=5)
            assert caught.value.body["type"] == "error"
        with openai_client(busy.url, API_KEY) as client:
            for stream in (False, True):
                with pytest.raises(openai.RateLimitError):
                    client.responses.create(model=MODEL, input="hi", stream=stream)
        streams.open[0].close()
        assert [future.result(10).status_code for future in waiting] == [200, 200]
    wait_for_load(busy, (1, 0))
    assert ask(busy).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_the_line_frees_its_place(busy: Stack, streams: Streams, stream: bool) -> None:
    streams.start()
    streams.start()
    for _ in range(2):
        with pytest.raises(httpx.ReadTimeout):
            OPEN.post(
                f"{busy.url}/v1/chat/completions",
                json=CHAT | {"stream": stream},
                headers=HEADERS,
                timeout=0.3,
            )
    wait_for_load(busy, (2, 0))
    assert len(busy.fake.requests) == 2


def test_a_request_of_several_generations_takes_as_many_slots(busy: Stack, streams: Streams) -> None:
    streams.start()
    busy.fake.script = HELLO
    assert ask(busy).status_code == 200
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pair = pool.submit(ask, busy, n=2)
        wait_for_load(busy, (1, 2))
        assert ask(busy).status_code == 429
        streams.open[0].close()
        assert pair.result(10).status_code == 200
    # More than there are slots takes them all.
    assert len(ask(busy, n=5).json()["choices"]) == 5
    wait_for_load(busy, (0, 0))


@pytest.mark.parametrize("stream", [False, True])
def test_who_waits_too_long_is_refused(stream: bool) -> None:
    with serving(max_concurrent_requests=1, queue_timeout_s=0.1) as stack:
        streams = Streams(stack)
        streams.start()
        refused = ask(stack, stream=stream)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        streams.close()
        wait_for_load(stack, (0, 0))


def test_the_engine_says_how_many_run_at_once(stack: Stack) -> None:
    """1.25 times the 64 sequences of the committed model repository."""
    stack.fake.reset(HANGS)
    asyncio.run(_fill(stack))
    wait_for_load(stack, (0, 0))


async def _fill(stack: Stack) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=stack.url, headers=HEADERS, timeout=30, limits=limits) as client:
        asking = [asyncio.create_task(client.post("/v1/chat/completions", json=CHAT)) for _ in range(82)]
        await asyncio.to_thread(wait_for_load, stack, (80, 2))
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


@pytest.mark.row(46)
def test_every_slot_comes_back_however_clients_leave(busy: Stack) -> None:
    busy.fake.reset(Script([tokens("a")] * 20))
    chance = random.Random(5)

    def leave_somewhere(_: int) -> None:
        body = CHAT | {"stream": chance.random() < 0.7, "n": chance.choice([1, 1, 2])}
        try:
            with OPEN.stream(
                "POST",
                f"{busy.url}/v1/chat/completions",
                json=body,
                headers=HEADERS,
                timeout=chance.choice([0.02, 0.1, 5]),
            ) as answer:
                for _ in itertools.islice(answer.iter_raw(10), chance.randrange(5)):
                    pass
        except httpx.TransportError:
            pass

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(leave_somewhere, range(300)))
    wait_for_load(busy, (0, 0))
    busy.fake.reset(HELLO)
    assert ask(busy).status_code == 200
