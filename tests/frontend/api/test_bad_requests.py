"""The table of bad input: each row is refused in OpenAI's form, names the field and costs no generation."""

import json

import grpc
import httpx2 as httpx
import pytest

from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL, Stack

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
USER = [{"role": "user", "content": "hi"}]


def chat(**fields: object) -> bytes:
    return json.dumps({"model": MODEL, "messages": USER, **fields}).encode()


def completion(**fields: object) -> bytes:
    return json.dumps({"model": MODEL, "prompt": "hi", **fields}).encode()


BAD_BODIES = [
    (CHAT, b"", 400, None),
    (CHAT, b"{nope", 400, None),
    (CHAT, b'{"model": ', 400, None),
    (CHAT, b"[]", 400, None),
    (CHAT, b'"x"', 400, None),
    (CHAT, b"null", 400, None),
    (CHAT, b"\xff\xfe{}", 400, None),
    (CHAT, b"\xef\xbb\xbf{}", 400, None),
    (CHAT, b"[" * 100_000, 400, None),
    (CHAT, chat(messages=[{"role": "user", "content": "\ud800"}]), 400, None),
    (CHAT, b'{"messages": [{"role": "user", "content": "hi"}]}', 400, "model"),
    (CHAT, chat(model=5), 400, "model"),
    (CHAT, chat(model=""), 404, "model"),
    (CHAT, chat(model="../x"), 404, "model"),
    (CHAT, json.dumps({"model": MODEL}).encode(), 400, "messages"),
    (CHAT, chat(messages=[]), 400, "messages"),
    (CHAT, chat(messages="hi"), 400, "messages"),
    (CHAT, chat(messages=USER * 10_001), 400, "messages"),
    (CHAT, chat(messages=[{"content": "hi"}]), 400, "messages[0].role"),
    (CHAT, chat(messages=[{"role": "system\n", "content": "hi"}]), 400, "messages[0].role"),
    (CHAT, chat(messages=[{"role": "user"}]), 400, "messages[0].content"),
    (CHAT, chat(messages=[*USER, {"role": "user", "content": None}]), 400, "messages[1].content"),
    (CHAT, chat(messages=[{"role": "user", "content": 5}]), 400, "messages[0].content"),
    (
        CHAT,
        chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        400,
        "messages[0].content[0].type",
    ),
    (CHAT, b'{"model": "%s", "messages": [], "temperature": NaN}' % MODEL.encode(), 400, "temperature"),
    (CHAT, chat(temperature=float("inf")), 400, "temperature"),
    (CHAT, chat(temperature=-0.1), 400, "temperature"),
    (CHAT, chat(temperature=2.1), 400, "temperature"),
    (CHAT, chat(temperature="0.5"), 400, "temperature"),
    (CHAT, chat(temperature=True), 400, "temperature"),
    (CHAT, chat(top_p=0), 400, "top_p"),
    (CHAT, chat(top_p=1.0001), 400, "top_p"),
    (CHAT, chat(top_k=-2), 400, "top_k"),
    (CHAT, chat(presence_penalty=2.01), 400, "presence_penalty"),
    (CHAT, chat(frequency_penalty=-2.01), 400, "frequency_penalty"),
    (CHAT, chat(repetition_penalty=0), 400, "repetition_penalty"),
    (CHAT, chat(max_tokens=0), 400, "max_tokens"),
    (CHAT, chat(max_tokens=-1), 400, "max_tokens"),
    (CHAT, chat(max_tokens=1.5), 400, "max_tokens"),
    (CHAT, chat(max_tokens=True), 400, "max_tokens"),
    (CHAT, chat(max_tokens=2**31), 400, "max_tokens"),
    (CHAT, chat(max_tokens=10**400), 400, "max_tokens"),
    (CHAT, chat(max_completion_tokens=0), 400, "max_completion_tokens"),
    (CHAT, chat(n=0), 400, "n"),
    (CHAT, chat(n=129), 400, "n"),
    (CHAT, chat(seed=2**63), 400, "seed"),
    (CHAT, chat(seed=1.5), 400, "seed"),
    (CHAT, chat(stop=""), 400, "stop"),
    (CHAT, chat(stop=[""]), 400, "stop[0]"),
    (CHAT, chat(stop=["a"] * 17), 400, "stop"),
    (CHAT, chat(stop=["a" * 10_000]), 400, "stop[0]"),
    (CHAT, chat(stop=5), 400, "stop"),
    (CHAT, chat(top_logprobs=1), 400, "top_logprobs"),
    (CHAT, chat(logprobs=True, top_logprobs=21), 400, "top_logprobs"),
    (CHAT, chat(logprobs=True, top_logprobs=-1), 400, "top_logprobs"),
    (CHAT, chat(stream="true"), 400, "stream"),
    (CHAT, chat(stream_options={"include_usage": True}), 400, "stream_options"),
    (CHAT, chat(logit_bias={"x": 1}), 400, "logit_bias.x"),
    (CHAT, chat(logit_bias={"-1": 1}), 400, "logit_bias.-1"),
    (CHAT, chat(logit_bias={"1": 101}), 400, "logit_bias.1"),
    (CHAT, chat(logit_bias={"1": float("nan")}), 400, "logit_bias.1"),
    (CHAT, chat(logit_bias={str(i): 1 for i in range(1025)}), 400, "logit_bias"),
    (CHAT, chat(stop_token_ids=[-1]), 400, "stop_token_ids[0]"),
    (CHAT, chat(bad_words=[""]), 400, "bad_words[0]"),
    (CHAT, chat(bad_words=["x" * 257]), 400, "bad_words[0]"),
    (CHAT, chat(bad_words=["x" * 256] * 65), 400, "bad_words"),
    (CHAT, chat(model="x" * 1025), 404, "model"),
    (CHAT, chat(guided_json="[" + "1," * 40_000), 400, "guided_json"),
    (CHAT, chat(structured_outputs={"json": "[" + "1," * 40_000}), 400, "structured_outputs.json"),
    (CHAT, chat(json_schema="[" + "1," * 40_000), 400, "json_schema"),
    (CHAT, chat(best_of=2), 400, "best_of"),
    (CHAT, chat(store=True), 400, "store"),
    (CHAT, chat(audio={"voice": "x"}), 400, "audio"),
    (CHAT, chat(functions=[{"name": "f"}]), 400, "functions"),
    (CHAT, chat(function_call={"name": "f"}), 400, "function_call"),
    (CHAT, chat(echo=True), 400, "echo"),
    (CHAT, chat(chat_template_kwargs={"tools": []}), 400, "chat_template_kwargs.tools"),
    (CHAT, chat(cache_salt="x"), 400, "cache_salt"),
    (CHAT, chat(priority=1), 400, "priority"),
    (CHAT, chat(structured_outputs={"structural_tag": "x"}), 400, "structured_outputs.structural_tag"),
    (CHAT, chat(web_search_options={}), 400, "web_search_options"),
    (CHAT, chat(web_search_options={"search_context_size": "low"}), 400, "web_search_options"),
    (COMPLETION, json.dumps({"model": MODEL}).encode(), 400, "prompt"),
    (COMPLETION, completion(prompt=[]), 400, "prompt"),
    (COMPLETION, completion(prompt=[[]]), 400, "prompt[0]"),
    (COMPLETION, completion(prompt=["a"] * 65), 400, "prompt"),
    (COMPLETION, completion(prompt=[1, -1]), 400, "prompt[1]"),
    (COMPLETION, completion(prompt=[1, "a"]), 400, "prompt[1]"),
    (COMPLETION, completion(prompt=5), 400, "prompt"),
    (COMPLETION, completion(prompt=None), 400, "prompt"),
    (COMPLETION, completion(suffix="x"), 400, "suffix"),
    (COMPLETION, completion(use_beam_search=True), 400, "use_beam_search"),
    (COMPLETION, completion(detokenize=False), 400, "detokenize"),
    (COMPLETION, completion(length_penalty=2.0), 400, "length_penalty"),
    (COMPLETION, completion(echo=True, truncate_prompt_tokens=5), 400, "truncate_prompt_tokens"),
    (COMPLETION, completion(best_of=2, n=3), 400, "best_of"),
    (COMPLETION, completion(best_of=2, stream=True), 400, "best_of"),
    (COMPLETION, completion(best_of=21), 400, "best_of"),
    (COMPLETION, completion(logprobs=6), 400, "logprobs"),
    (COMPLETION, completion(max_tokens=0), 400, "max_tokens"),
    (COMPLETION, completion(max_tokens=-1, echo=True), 400, "max_tokens"),
]


@pytest.mark.row(1, 2, 3, 4, 16, 17, 18, 19, 23, 24, 25, 27, 28, 29, 30, 31, 33, 35)
@pytest.mark.parametrize(("path", "body", "status", "param"), BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_bad_body(
    http: httpx.Client, fake: FakeTriton, path: str, body: bytes, status: int, param: str | None
) -> None:
    answer = http.post(path, content=body, headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, param)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert fake.requests == []


def test_good_request_is_answered_after_bad_ones(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("ok")]))
    for path, body, _, _ in BAD_BODIES[:20]:
        http.post(path, content=body, headers={"Content-Type": "application/json"})
    answer = http.post(CHAT, content=chat(), headers={"Content-Type": "application/json"})
    assert answer.json()["choices"][0]["message"]["content"] == "ok"


@pytest.mark.row(5, 6)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_other_media_types_are_refused(http: httpx.Client, headers: dict[str, str]) -> None:
    answer = http.post(CHAT, content=chat(), headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"


@pytest.mark.row(7)
def test_body_over_the_limit(http: httpx.Client) -> None:
    data = b"x" * (16 * 1024 * 1024 + 1)
    headers = {"Content-Type": "application/json"}
    assert http.post(CHAT, content=data, headers=headers).status_code == 413
    pieces = (data[start : start + 1024 * 1024] for start in range(0, len(data), 1024 * 1024))
    assert http.post(CHAT, content=pieces, headers=headers).status_code == 413


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Basic dGVzdA==", "test-key", "Bearer tést", "Bearer " + "x" * 9000],
)
@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("POST", COMPLETION), ("GET", "/v1/models")])
def test_key_is_required(stack: Stack, method: str, path: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode()}
    answer = httpx.request(method, stack.url + path, content=chat(), headers=headers, verify=False)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.row(15)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CHAT, 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/unknown", 404),
        ("POST", "//v1/chat/completions", 404),
        ("POST", CHAT + "/", 404),
        ("GET", "/redoc", 404),
    ],
)
def test_unknown_urls_and_methods(http: httpx.Client, method: str, path: str, status: int) -> None:
    answer = http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", CHAT, chat(max_tokens=0), f"POST '{CHAT}', 400 invalid_value 'max_tokens'"),
        ("POST", CHAT, chat(model="other"), f"POST '{CHAT}', 404 model_not_found 'model'"),
        ("GET", CHAT, b"", f"GET '{CHAT}', 405 method_not_allowed None"),
        ("POST", "/nothing", b"", "POST '/nothing', 404 unknown_url None"),
    ],
)
def test_a_refusal_leaves_a_line(
    http: httpx.Client, caplog: pytest.LogCaptureFixture, method: str, path: str, body: bytes, told: str
) -> None:
    caplog.set_level("INFO")
    http.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert f"refused: {told}" in caplog.text


def test_what_the_engine_refuses_is_not_told_as_an_answer(
    http: httpx.Client, fake: FakeTriton, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    details = 'in ensemble, {"message": "long", "param": "messages", "code": "context_length_exceeded"}'
    fake.reset(Script(fails_after=0, status=grpc.StatusCode.INVALID_ARGUMENT, details=details))
    http.post(CHAT, content=chat(), headers={"Content-Type": "application/json"})
    assert f"refused: POST '{CHAT}', 400 context_length_exceeded 'messages'" in caplog.text
    assert "completion tokens" not in caplog.text
