"""What the client sees when Triton fails."""

import grpc
import httpx2 as httpx
import openai
import pytest

from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

USER = [{"role": "user", "content": "hi"}]
HELLO = [tokens("a"), tokens("b"), tokens("c")]


@pytest.mark.row(40, 42)
@pytest.mark.parametrize(
    ("status", "details", "expected_status", "code"),
    [
        (grpc.StatusCode.INTERNAL, "Executor failed: /secret/path", 500, "internal_error"),
        (grpc.StatusCode.UNAVAILABLE, "Server is stopping", 503, "service_unavailable"),
        (
            grpc.StatusCode.INTERNAL,
            "in ensemble 'ensemble', Stub process 'preprocess_0_0' is not healthy.",
            503,
            "service_unavailable",
        ),
        (grpc.StatusCode.INTERNAL, "the engine's process was ended by signal 9", 503, "service_unavailable"),
        (grpc.StatusCode.INTERNAL, "the engine can't be reached", 503, "service_unavailable"),
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", 429, "rate_limit_exceeded"),
        (
            grpc.StatusCode.INTERNAL,
            "Maximum queue size of 8 has been reached, please try again later",
            429,
            "rate_limit_exceeded",
        ),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Request timeout expired", 504, "timeout"),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input", 500, "internal_error"),
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            'in ensemble, {"message": "long", "param": "messages", "code": "context_length_exceeded"}',
            400,
            "context_length_exceeded",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_failure_before_the_first_token(
    http: httpx.Client,
    fake: FakeTriton,
    status: grpc.StatusCode,
    details: str,
    expected_status: int,
    code: str,
    stream: bool,
) -> None:
    fake.reset(Script(HELLO, fails_after=0, status=status, details=details))
    answer = http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER, "stream": stream})
    assert (answer.status_code, answer.json()["error"]["code"]) == (expected_status, code)
    assert "secret" not in answer.text
    assert "ensemble" not in answer.text
    assert ("retry-after" in answer.headers) == (expected_status in (429, 503))


def test_failure_within_a_stream_is_an_error_frame(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO, fails_after=2))
    stream = client.chat.completions.create(model=MODEL, messages=USER, stream=True)
    texts = []
    with pytest.raises(openai.APIError) as caught:
        texts.extend(chunk.choices[0].delta.content for chunk in stream)
    assert caught.value.code == "internal_error"


@pytest.mark.row(41)
def test_failed_stream_has_no_done(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO, fails_after=2))
    text = http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER, "stream": True}).text
    assert '"content":"b"' in text
    assert '"error"' in text.split("\n\n")[-2]
    assert "[DONE]" not in text


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_leaves_stops_the_engine(http: httpx.Client, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script(HELLO, hangs_after=1 if stream else 0))
    body = {"model": MODEL, "messages": USER, "stream": stream}
    if stream:
        with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            next(answer.iter_bytes())
    else:
        with pytest.raises(httpx.TimeoutException):
            http.post("/v1/chat/completions", json=body, timeout=0.5)
    assert fake.stop_ended.wait(5)
    assert fake.ended_ids == [fake.requests[0].id]


def test_one_failed_choice_stops_the_others(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO, fails_after=1))
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model=MODEL, messages=USER, n=3)


@pytest.mark.row(39)
def test_health(http: httpx.Client, fake: FakeTriton) -> None:
    assert http.get("/health/live").status_code == 200
    assert http.get("/health/ready").status_code == 200
    fake.is_ready = False
    answer = http.get("/health/ready")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")


def test_request_id_is_echoed(http: httpx.Client) -> None:
    assert http.get("/health/live", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert http.get("/health/live", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"
