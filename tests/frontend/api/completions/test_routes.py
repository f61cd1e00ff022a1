import json

import httpx2 as httpx
import openai
import pytest

from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

ANSWER = [tokens(" a"), tokens(" crucial", " part")]


def test_whole_answer_has_the_keys_of_the_seed(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(ANSWER, ends_by_end_id=False, num_prompt_tokens=4))
    request = {"model": MODEL, "prompt": "Computers are", "temperature": 0, "max_tokens": 3}
    body = http.post("/v1/completions", json=request).json()
    assert list(body) == ["id", "object", "created", "model", "choices", "usage"]
    assert body["id"].startswith("cmpl-")
    assert body["object"] == "text_completion"
    assert body["choices"] == [
        {
            "index": 0,
            "text": " a crucial part",
            "logprobs": None,
            "finish_reason": "length",
            "stop_reason": None,
        }
    ]
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 7, "completion_tokens": 3}


def test_default_length_is_16_tokens(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(ANSWER))
    client.completions.create(model=MODEL, prompt="Computers are")
    assert fake.inputs()["max_tokens"] == [16]


@pytest.mark.parametrize(
    ("prompt", "inputs"),
    [
        ("one", [{"text_input": ["one"]}]),
        (["one", "two"], [{"text_input": ["one"]}, {"text_input": ["two"]}]),
        ([5, 6], [{"prompt_ids": [5, 6]}]),
        ([[5, 6], [7]], [{"prompt_ids": [5, 6]}, {"prompt_ids": [7]}]),
    ],
)
def test_every_form_of_prompt(
    client: openai.OpenAI, fake: FakeTriton, prompt: object, inputs: list[dict]
) -> None:
    fake.reset(Script(ANSWER))
    answer = client.completions.create(model=MODEL, prompt=prompt, n=2)
    assert [choice.index for choice in answer.choices] == list(range(2 * len(inputs)))
    sent = [fake.inputs(index) for index in range(2 * len(inputs))]
    for expected in inputs:
        assert sum(expected.items() <= {k: s[k] for k in expected if k in s}.items() for s in sent) == 2
    assert answer.usage.prompt_tokens == 5 * len(inputs)


@pytest.mark.parametrize("stream", [False, True])
def test_echo_repeats_the_prompt_once(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script(ANSWER))
    answer = client.completions.create(model=MODEL, prompt="Computers are", echo=True, stream=stream)
    chunks = list(answer) if stream else [answer]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Computers are a crucial part"


@pytest.mark.parametrize("stream", [False, True])
def test_log_probs_have_offsets(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script(ANSWER))
    answer = client.completions.create(model=MODEL, prompt="Computers are", logprobs=0, stream=stream)
    parts = [chunk.choices[0].logprobs for chunk in (answer if stream else [answer])]
    assert [text for part in parts for text in part.tokens] == [" a", " crucial", " part"]
    assert [value for part in parts for value in part.token_logprobs] == [-0.5, -1.0, -1.5]
    assert [value for part in parts for value in part.text_offset] == [0, 2, 10]


def test_stream_ends_with_usage_and_done(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(ANSWER))
    request = {"model": MODEL, "prompt": "x", "stream": True, "stream_options": {"include_usage": True}}
    frames = http.post("/v1/completions", json=request).text.split("\n\n")
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert frames[-2:] == ["data: [DONE]", ""]
    assert [chunk["choices"][0]["text"] for chunk in chunks[:-1]] == [" a", " crucial part", ""]
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 4


def test_best_of_answers_with_the_likeliest(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(ANSWER))
    answer = client.completions.create(model=MODEL, prompt="Computers are", n=2, best_of=4)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert len(fake.requests) == 4
    assert answer.choices[0].logprobs is None
    assert answer.usage.completion_tokens == 4 * 4
