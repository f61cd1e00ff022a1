import json

import pytest

from scripts.chat_client import Client, RequestFailed
from tests.fakes.triton_server import Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack

BODY = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_address_may_have_the_version_or_not(stack: Stack, suffix: str) -> None:
    assert Client(stack.url + suffix, API_KEY).first_model() == MODEL


def test_text_comes_in_parts(stack: Stack) -> None:
    stack.fake.reset(Script([tokens("a"), tokens("é\n"), tokens("c")]))
    assert "".join(Client(stack.url, API_KEY).stream(BODY)) == "aé\nc"
    assert json.loads(stack.fake.inputs()["messages"][0]) == BODY["messages"]


@pytest.mark.parametrize(
    ("key", "body", "told"),
    [
        ("", BODY, "401: .* give it by API_KEY"),
        ("wrong", BODY, "401: Incorrect API key"),
        (API_KEY, {**BODY, "temperature": 9}, "400: .*temperature"),
        (API_KEY, {**BODY, "model": "other"}, "404: .*other"),
    ],
)
def test_a_refusal_is_told(stack: Stack, key: str, body: dict[str, object], told: str) -> None:
    with pytest.raises(RequestFailed, match=told):
        list(Client(stack.url, key).stream(body))


def test_a_failure_after_the_first_token_is_told(stack: Stack) -> None:
    stack.fake.reset(Script([tokens("a"), tokens("b")], fails_after=1))
    parts = Client(stack.url, API_KEY).stream(BODY)
    assert next(parts) == "a"
    with pytest.raises(RequestFailed):
        list(parts)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid", "no address"])
def test_no_server_is_told_with_what_to_do(url: str) -> None:
    with pytest.raises(RequestFailed, match="make serve"):
        Client(url, "").first_model()
