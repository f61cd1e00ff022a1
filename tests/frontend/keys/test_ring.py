"""Who gets in, what a key may use, and what is told and logged of it."""

import concurrent.futures
import copy
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import anthropic
import httpx2 as httpx
import pytest
from starlette.routing import Route

from frontend.app import create_app
from frontend.keys.key import KeyFileError, digest, read_key_file
from frontend.keys.ring import KeyRing
from frontend.limits.ledger import SharedLedger
from frontend.middleware.auth import OPEN_PATHS
from frontend.settings import Settings
from frontend.settings_file import SettingsError
from frontend.triton.triton import Triton
from tests.fakes.clients import anthropic_client, http_client, openai_client
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack, serving

USER = [{"role": "user", "content": "hi"}]
HELLO = Script([tokens("a"), tokens("b")])
# Made once, as it takes longer than a request; every request takes a connection of its own.
ANYBODY = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), verify=False)
# What HELLO uses: five tokens of prompt, two of text, and the end.
NUM_TOKENS = 8
# A change of the key file is seen within a second.
RELOAD_S = 10


def routes() -> list[tuple[str, str]]:
    app = create_app(Settings(api_keys=(API_KEY,)), Triton(Settings()))
    found = [(method, route.path) for route in api_routes(app.routes) for method in route.methods]
    assert {("POST", "/v1/messages"), ("GET", "/version"), ("GET", "/health/live")} < set(found)
    return [(method, re.sub(r"\{.*?\}", "x", path)) for method, path in sorted(found)]


def api_routes(routes: Iterable[object]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        else:
            # FastAPI keeps a router that was included as it is; what is none of both is not expected.
            yield from api_routes(route.original_router.routes)


@pytest.mark.row(14)
def test_every_route_but_those_of_probes_and_pages_wants_a_key(stack: Stack) -> None:
    with http_client(stack.url) as client:
        open_routes = {path for method, path in routes() if client.request(method, path).status_code != 401}
        assert open_routes == OPEN_PATHS
        assert {"/health", "/health/live", "/health/ready", "/", "/status", "/docs"} == OPEN_PATHS


@pytest.mark.row(11, 14)
@pytest.mark.parametrize(
    "path",
    [
        "/status/", "/docs/", "/chat.html", "/openapi.json", "/redoc",
        "/metrics", "/v1/unknown", "/health/",
        "/health/live/", "//health/live", "/health/../v1/models", "/health/live/../../v1/models",
        "/v1/models?/health/live", "/health%2Flive/x", "/HEALTH/LIVE",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE"])
def test_paths_that_lead_nowhere_want_a_key_too(stack: Stack, method: str, path: str) -> None:
    answer = ANYBODY.request(method, stack.url + path, headers={"Host": "x/health/live?"})
    assert answer.status_code in (400, 401)
    assert ANYBODY.request(method, stack.url + path).status_code == 401


@pytest.mark.row(13)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {API_KEY}x"},
        {"Authorization": f"Bearer {API_KEY[:-1]}"},
        {"Authorization": f"Bearer {API_KEY.upper()}"},
        {"Authorization": f"Basic {API_KEY}"},
        {"Authorization": API_KEY},
        {"Authorization": "Bearer t\xe9st"},
        {"Authorization": "Bearer " + "x" * 8000},
        {"Authorization": f"Bearer {digest(API_KEY)}"},
        {"X-Api-Key": "wrong"},
        {"Cookie": f"key={API_KEY}"},
    ],
)
@pytest.mark.parametrize("query", ["", f"?api_key={API_KEY}", f"?key={API_KEY}"])
def test_bad_keys(stack: Stack, headers: dict[str, str], query: str) -> None:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = ANYBODY.get(f"{stack.url}/v1/models{query}", headers=sent)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == ("invalid_api_key", "invalid_request_error")
    assert "wrong" not in answer.text
    assert API_KEY not in answer.text


def key_file(path: Path, **limits: dict[str, int]) -> Path:
    """Keys whose names are those of the limits, each key its name and `-key`."""
    keys = [{"name": name, "sha256": digest(f"{name}-key"), **values} for name, values in limits.items()]
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps({"keys": keys}))
    os.replace(scratch, path)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return key_file(
        tmp_path / "keys.json",
        free={},
        twice={"requests_per_minute": 2},
        tokens={"tokens_per_minute": 100},
        single={"concurrency": 1},
        all={"requests_per_minute": 9, "tokens_per_minute": 1000, "concurrency": 5},
    )


@pytest.fixture
def keyed(file: Path) -> Iterator[Stack]:
    with serving(api_keys=(), api_keys_file=file) as stack:
        stack.fake.reset(HELLO)
        yield stack


def chat(stack: Stack, name: str, **fields: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {name}-key"}
    body = {"model": MODEL, "messages": USER, **fields}
    return ANYBODY.post(f"{stack.url}/v1/chat/completions", json=body, headers=headers)


def test_requests_per_minute(keyed: Stack) -> None:
    first, second, refused = (chat(keyed, "twice") for _ in range(3))
    assert (first.status_code, second.status_code, refused.status_code) == (200, 200, 429)
    limits = [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, second, refused)]
    assert limits == ["1", "0", "0"]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert "x-ratelimit-limit-tokens" not in first.headers
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= 30
    assert 0 < int(refused.headers["retry-after-ms"]) <= 30_000
    assert chat(keyed, "free").status_code == 200
    assert not [name for name in chat(keyed, "free").headers if "ratelimit" in name]


def test_limits_and_counts_hold_for_all_workers_together(file: Path) -> None:
    ledger = SharedLedger(num_workers=2)
    # As after a fork: the same memory, another place in it.
    other = copy.copy(ledger)
    other.attach(1)
    with (
        serving(ledger, api_keys=(), api_keys_file=file, max_concurrent_requests=1) as first,
        serving(other, api_keys=(), api_keys_file=file, max_concurrent_requests=1) as second,
    ):
        for stack in (first, second):
            stack.fake.reset(HELLO)
        statuses = [chat(stack, "twice").status_code for stack in (first, second, first, second)]
        assert statuses == [200, 200, 429, 429]
        first.fake.script = Script([tokens("a")], hangs_after=1)
        headers, body = (
            {"Authorization": "Bearer free-key"},
            {"model": MODEL, "messages": USER, "stream": True},
        )
        path = "/v1/chat/completions"
        with (
            concurrent.futures.ThreadPoolExecutor() as pool,
            ANYBODY.stream("POST", first.url + path, json=body, headers=headers) as running,
        ):
            received = running.iter_bytes()
            next(received)
            waiting = pool.submit(chat, second, "free")
            deadline = time.monotonic() + 5
            while ledger.load() != (1, 1):
                assert time.monotonic() < deadline
            assert not second.fake.requests[1:]
            running.close()
            assert waiting.result(10).status_code == 200
        usage = ledger.usage_by_key()
        assert (usage["twice"]["requests"], usage["twice"]["refused"]) == (2, 2)


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_per_minute_are_those_that_were_used(keyed: Stack, stream: bool) -> None:
    answer = chat(keyed, "tokens", max_tokens=90, stream=stream)
    assert answer.status_code == 200
    # Reserved: 90 for the text and some for the prompt.
    assert int(answer.headers["x-ratelimit-remaining-tokens"]) <= 10
    left = chat(keyed, "tokens", max_tokens=1).headers["x-ratelimit-remaining-tokens"]
    # Two tokens a second come back.
    assert 100 - 3 * NUM_TOKENS <= int(left) <= 100 - NUM_TOKENS + 10


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_pays_for_what_was_made(keyed: Stack, stream: bool) -> None:
    keyed.fake.reset(Script([tokens("x")] * 60, hangs_after=50))
    body = {"model": MODEL, "messages": USER, "stream": stream, "max_tokens": 60}
    headers = {"Authorization": "Bearer tokens-key"}
    with (
        http_client(keyed.url, timeout=1) as leaving,
        pytest.raises(httpx.TimeoutException),
        leaving.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer,
    ):
        answer.read()
    deadline = time.monotonic() + 10
    while keyed.ledger.load() != (0, 0):
        assert time.monotonic() < deadline
    keyed.fake.reset(HELLO)
    left = chat(keyed, "tokens", max_tokens=1).headers["x-ratelimit-remaining-tokens"]
    assert int(left) <= 100 - 50


def test_a_request_larger_than_the_limit_runs_alone(keyed: Stack) -> None:
    assert chat(keyed, "tokens", max_tokens=5000).status_code == 200
    keyed.fake.reset(Script([tokens(*"x" * 100)]))
    assert chat(keyed, "tokens", max_tokens=50).status_code == 200
    assert chat(keyed, "tokens", max_tokens=50).status_code == 429


def test_concurrency(keyed: Stack) -> None:
    keyed.fake.reset(Script([tokens("a")], hangs_after=1))
    headers = {"Authorization": "Bearer single-key"}
    body = {"model": MODEL, "messages": USER, "stream": True}
    with ANYBODY.stream("POST", f"{keyed.url}/v1/chat/completions", json=body, headers=headers) as answer:
        received = answer.iter_bytes()
        next(received)
        refused = chat(keyed, "single")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        keyed.fake.script = HELLO
        assert chat(keyed, "free").status_code == 200
    deadline = time.monotonic() + 5
    while chat(keyed, "single").status_code != 200:
        assert time.monotonic() < deadline
    too_many = chat(keyed, "single", n=2)
    assert (too_many.status_code, too_many.json()["error"]["param"]) == (400, "n")


def test_anthropics_clients_read_their_own_headers(keyed: Stack) -> None:
    with anthropic_client(keyed.url, "twice-key") as client:
        answer = client.messages.with_raw_response.create(model=MODEL, messages=USER, max_tokens=5)
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "2"
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "1"
        assert answer.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        client.messages.count_tokens(model=MODEL, messages=USER)
        with pytest.raises(anthropic.RateLimitError) as caught:
            client.messages.create(model=MODEL, messages=USER, max_tokens=5)
    assert caught.value.body["error"]["type"] == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_tokenizing_counts_as_a_request(keyed: Stack, path: str) -> None:
    body = {"model": MODEL, "prompt": "a", "tokens": [1]}
    headers = {"Authorization": "Bearer twice-key"}
    answers = [ANYBODY.post(keyed.url + path, json=body, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "1"


def test_usage_is_counted_by_key(keyed: Stack) -> None:
    for _ in range(3):
        chat(keyed, "twice")
    chat(keyed, "free", n=2)
    ANYBODY.post(f"{keyed.url}/v1/chat/completions", json={}, headers={"Authorization": "Bearer free-key"})
    usage = keyed.ledger.usage_by_key()
    assert usage["twice"] == {"requests": 2, "refused": 1, "prompt_tokens": 10, "completion_tokens": 6}
    assert usage["free"] == {"requests": 1, "refused": 0, "prompt_tokens": 5, "completion_tokens": 6}
    assert keyed.ledger.load() == (0, 0)


def wait_for(stack: Stack, name: str, status: int) -> None:
    deadline = time.monotonic() + RELOAD_S
    while chat(stack, name).status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_keys_come_and_go_without_a_restart(
    keyed: Stack, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert chat(keyed, "new").status_code == 401
    key_file(file, new={})
    wait_for(keyed, "new", 200)
    assert chat(keyed, "free").status_code == 401
    file.write_text("{broken")
    deadline = time.monotonic() + RELOAD_S
    while not [record for record in caplog.records if record.levelno == logging.ERROR]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert chat(keyed, "new").status_code == 200
    file.unlink()
    key_file(file)
    wait_for(keyed, "new", 401)


@pytest.mark.row(53)
@pytest.mark.parametrize("logs_prompts", [False, True])
def test_no_secret_is_logged_or_shown(
    logs_prompts: bool, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    prompt, text = "my-private-prompt", "its-private-answer"
    shown = []
    with serving(api_keys_file=file, log_prompts=logs_prompts, log_level="debug") as stack:
        stack.fake.reset(Script([tokens(text)]))
        messages = [{"role": "user", "content": prompt}]
        for fields in ({}, {"stream": True}, {"n": 0}, {"n": "x"}, {"unknown": prompt}, {"model": "other"}):
            body = {"model": MODEL, "messages": messages, **fields}
            for key in (API_KEY, "free-key", "bad-key"):
                headers = {"Authorization": f"Bearer {key}", "X-Api-Key": key}
                answer = ANYBODY.post(f"{stack.url}/v1/chat/completions?k={key}", json=body, headers=headers)
                shown.append(str(answer.headers) + answer.text.replace(text, ""))
        stack.fake.reset(Script([tokens(text)], fails_after=0))
        shown.append(chat(stack, "free", messages=messages).text)
        paths = ("/openapi.json", "/metrics", "/version")
        headers = {"X-Api-Key": "free-key"}
        shown += [ANYBODY.get(stack.url + path, headers=headers).text for path in paths]
        shown.append(str(stack.ledger.usage_by_key()))
    # Not the lines of the client in this process.
    logged = "\n".join(
        record.getMessage() + str(record.exc_text)
        for record in caplog.records
        if not record.name.startswith("http")
    )
    assert "POST /v1/chat/completions " in logged
    assert "key free: " in logged
    for secret in (API_KEY, "free-key", digest(API_KEY), digest("free-key"), text):
        assert secret not in logged
        assert not [item for item in shown if secret in item]
    assert (prompt in logged) == logs_prompts
    assert not [item for item in shown if prompt in item]


def test_a_worker_that_starts_while_the_file_is_broken_keeps_the_keys_of_before(file: Path) -> None:
    key_file(file, team={})
    settings = Settings(api_keys_file=file)
    before = settings.read_keys()
    file.write_text("{")
    with pytest.raises(SettingsError):
        KeyRing(settings)
    ring = KeyRing(settings, before)
    assert ring.owner("team-key") is not None
    key_file(file, other={})
    ring.reload_if_changed()
    assert ring.owner("team-key") is None
    assert ring.owner("other-key") is not None


def test_a_pipe_is_no_key_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KeyFileError, match="is no file"):
        read_key_file(tmp_path / "pipe")


def test_the_client_that_is_told_to_wait_comes_through(file: Path) -> None:
    """OpenAI's SDK retries by Retry-After-Ms: 600 a minute are ten a second, and it comes within three."""
    key_file(file, quick={"requests_per_minute": 600})
    with serving(api_keys=(), api_keys_file=file) as stack:
        stack.fake.reset(HELLO)
        with stack.ledger.locked():
            column = stack.ledger.column("quick")
            stack.ledger.times[0, column], stack.ledger.levels[0, column] = time.monotonic(), -29.0
        with openai_client(stack.url, "quick-key", max_retries=2) as client:
            assert client.chat.completions.create(model=MODEL, messages=USER).choices
        assert stack.ledger.usage_by_key()["quick"]["refused"] == 1
