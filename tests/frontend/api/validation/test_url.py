import httpx2 as httpx
import pytest

from tests.frontend.conftest import Stack


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("//v1/chat/completions", "/v1/chat/completions"),
        ("/v1/v1//completions/", "/v1/completions"),
        ("/openai/v1/responses", "/v1/responses"),
        ("/messages", "/v1/messages"),
        ("/v1/v1/messages", "/v1/messages"),
        ("/v1/tokenize", "/tokenize"),
        ("/models", "/v1/models"),
    ],
)
def test_the_usual_slips_are_told(http: httpx.Client, stack: Stack, path: str, meant: str) -> None:
    answer = http.post(f"{stack.url}{path}", json={})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "unknown_url")
    assert error["message"].startswith(f"There is nothing at {path}. Did you mean {meant}?")


def test_what_is_like_nothing_is_named(http: httpx.Client) -> None:
    error = http.get("/v1/embeddings").json()["error"]
    assert error["message"] == "There is nothing at /v1/embeddings. GET /openapi.json tells what there is."


def test_another_method_is_named(http: httpx.Client) -> None:
    answer = http.get("/v1/chat/completions")
    assert answer.json()["error"]["message"] == ("GET is not allowed at /v1/chat/completions: send POST.")
    assert answer.headers["allow"] == "POST"
