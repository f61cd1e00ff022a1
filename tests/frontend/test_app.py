"""What is put around the routes as a setting asks for it."""

from collections.abc import Iterator

import pytest

from tests.fakes.clients import http_client
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack, serving

APP = "https://app.example.com"
CHAT = "/v1/chat/completions"
PREFLIGHT = {
    "Origin": APP,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


@pytest.fixture(scope="module")
def for_browsers() -> Iterator[Stack]:
    with serving(cors_origins=(APP,), api_keys=(API_KEY,)) as stack:
        yield stack


def test_by_default_no_page_of_another_origin_may_ask(stack: Stack) -> None:
    with http_client(stack.url, API_KEY) as client:
        answer = client.get("/v1/models", headers={"Origin": APP})
        assert not any(name.startswith("access-control") for name in answer.headers)
        assert client.options(CHAT, headers=PREFLIGHT).status_code == 405


def test_a_browser_asks_first_and_without_a_key(for_browsers: Stack) -> None:
    with http_client(for_browsers.url) as client:
        answer = client.options(CHAT, headers=PREFLIGHT)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == APP
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == PREFLIGHT["Access-Control-Request-Headers"]
        assert "access-control-allow-credentials" not in answer.headers
        other = client.options(CHAT, headers=PREFLIGHT | {"Origin": "https://elsewhere.test"})
        assert (other.status_code, other.headers.get("access-control-allow-origin")) == (400, None)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_an_answer_may_be_read_by_that_origin_alone(for_browsers: Stack, is_streamed: bool) -> None:
    for_browsers.fake.reset(Script([tokens("a")]))
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": is_streamed}
    with http_client(for_browsers.url, API_KEY) as client:
        answer = client.post(CHAT, json=body, headers={"Origin": APP})
        assert answer.headers["access-control-allow-origin"] == APP
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        other = client.post(CHAT, json=body, headers={"Origin": "https://elsewhere.test"})
        assert "access-control-allow-origin" not in other.headers


def test_a_refused_key_is_told_to_the_page(for_browsers: Stack) -> None:
    with http_client(for_browsers.url, "wrong") as client:
        answer = client.post(CHAT, json={}, headers={"Origin": APP})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, APP)
