"""Answers that no engine should give: a fixed error, never a hang, a traceback or a wrong text."""

import json

import httpx2 as httpx
import numpy as np
import pytest

from tests.fakes.triton_server import FakeTriton, Output, Script, tokens
from tests.frontend.conftest import MODEL

USER = [{"role": "user", "content": "hi"}]


def ids(*values: int) -> Output:
    return "INT32", [1, 1, len(values)], np.array(values, "<i4").tobytes()


PROMPT = "INT32", [1, 1], np.array([5], "<i4").tobytes()
GOOD: dict[str, Output] = {"output_ids": ids(tokens("a")[0][0]), "num_input_tokens": PROMPT}
NOTHING: dict[str, Output] = {"output_ids": ids(), "num_input_tokens": PROMPT}

MALFORMED: dict[str, dict[str, Output]] = {
    "no tensor": {},
    "no ids": {key: value for key, value in GOOD.items() if key != "output_ids"},
    "no count": {key: value for key, value in GOOD.items() if key != "num_input_tokens"},
    "ids are floats": GOOD | {"output_ids": ("FP32", [1, 1, 1], bytes(4))},
    "an undeclared tensor": GOOD | {"secret_tensor": PROMPT},
    "ids cut short": GOOD | {"output_ids": ("INT32", [1, 1, 1], bytes(3))},
    "two beams": GOOD | {"output_ids": ("INT32", [1, 2, 1], bytes(8))},
    "count is empty": GOOD | {"num_input_tokens": ("INT32", [1, 0], b"")},
}


def ask(http: httpx.Client, stream: bool) -> httpx.Response:
    return http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER, "stream": stream})


@pytest.mark.row(45)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_answer(http: httpx.Client, fake: FakeTriton, name: str, stream: bool) -> None:
    fake.reset(Script(answers=[(MALFORMED[name], True)]))
    answer = ask(http, stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert answer.json()["error"]["message"] == "The engine answered with a malformed tensor."


# Datatypes are looked at once a stream, and what is known of the prompt.
FIRST_ONLY = {"an undeclared tensor", "no count", "count is empty"}


@pytest.mark.parametrize("name", [name for name in MALFORMED if name not in FIRST_ONLY])
def test_malformed_answer_within_a_stream(http: httpx.Client, fake: FakeTriton, name: str) -> None:
    fake.reset(Script(answers=[(GOOD, False), (MALFORMED[name], False)], hangs_at_end=True))
    text = ask(http, stream=True).text
    assert '"content":"a"' in text
    assert '"internal_error"' in text.split("\n\n")[-2]
    assert "[DONE]" not in text
    # The engine does not go on with what nobody can read.
    assert fake.stop_ended.wait(5)


@pytest.mark.row(44)
@pytest.mark.parametrize("stream", [False, True])
def test_a_final_response_without_tensors_is_no_end(
    http: httpx.Client, fake: FakeTriton, stream: bool
) -> None:
    fake.reset(Script(answers=[(GOOD, False), ({}, True)]))
    answer = ask(http, stream)
    assert answer.status_code == (200 if stream else 500)
    assert "internal_error" in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.row(44)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answers", [[], [(GOOD, False)]])
def test_end_without_a_final_response(
    http: httpx.Client, fake: FakeTriton, answers: list[tuple[dict[str, Output], bool]], stream: bool
) -> None:
    fake.reset(Script(answers=answers))
    answer = ask(http, stream)
    has_begun = stream and bool(answers)
    assert answer.status_code == (200 if has_begun else 500)
    assert "internal_error" in answer.text
    assert "[DONE]" not in answer.text


@pytest.mark.row(44)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "answers",
    [
        [(GOOD, True)],
        [(GOOD, False), (NOTHING, True)],
        [(GOOD, False), (NOTHING, True), (NOTHING, True)],
        [(GOOD, False), (NOTHING, True), (GOOD, False)],
        [(GOOD, False), (NOTHING, False), (NOTHING, True), (MALFORMED["no ids"], True)],
    ],
)
def test_what_follows_the_final_response_is_ignored(
    http: httpx.Client, fake: FakeTriton, answers: list[tuple[dict[str, Output], bool]], stream: bool
) -> None:
    fake.reset(Script(answers=answers))
    answer = ask(http, stream)
    assert answer.status_code == 200
    if stream:
        assert answer.text.count('"content":"a"') == 1
        assert answer.text.count('"finish_reason":"stop"') == 1
        assert answer.text.endswith("data: [DONE]\n\n")
    else:
        assert answer.json()["choices"][0]["message"]["content"] == "a"
        assert answer.json()["usage"]["completion_tokens"] == 2


@pytest.mark.row(45)
@pytest.mark.parametrize("stream", [False, True])
def test_bytes_that_are_no_utf8_are_replaced(http: httpx.Client, fake: FakeTriton, stream: bool) -> None:
    broken = GOOD | {"output_ids": ids(tokens(b"\xff\xfea\xf0\x9f")[0][0])}
    fake.reset(Script(answers=[(broken, False), (NOTHING, True)]))
    answer = ask(http, stream)
    if stream:
        frames = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line.startswith("data: {")]
        text = "".join(frame["choices"][0]["delta"].get("content") or "" for frame in frames)
    else:
        text = answer.json()["choices"][0]["message"]["content"]
    assert text == "\ufffd\ufffda\ufffd"
