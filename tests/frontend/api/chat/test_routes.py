import json

import httpx2 as httpx
import openai
import pytest

from frontend.api.chat.request import ChatRequest
from frontend.api.generation_request import from_chat
from frontend.errors import InvalidRequest
from frontend.triton.model import ServedModel, served_model
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

HELLO = [tokens("Hel"), tokens("lo", " w"), tokens("orld")]
USER = [{"role": "user", "content": "hi"}]


def events(http: httpx.Client, **body: object) -> list[dict]:
    text = http.post(
        "/v1/chat/completions", json={"model": MODEL, "messages": USER, "stream": True, **body}
    ).text
    frames = [frame.removeprefix("data: ") for frame in text.split("\n\n") if frame]
    assert frames.pop() == "[DONE]"
    return [json.loads(frame) for frame in frames]


def test_whole_answer_has_the_keys_of_the_seed(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO, num_prompt_tokens=46))
    body = http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER}).json()
    assert list(body) == ["id", "object", "created", "model", "choices", "usage"]
    assert body["id"].startswith("chat-")
    assert len(body["id"]) == len("chat-") + 32
    assert body["object"] == "chat.completion"
    assert body["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello world", "refusal": None, "tool_calls": []},
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": None,
        }
    ]
    # Four tokens and the end token, as the seed counts.
    assert body["usage"] == {"prompt_tokens": 46, "total_tokens": 51, "completion_tokens": 5}


def test_stream_sends_role_text_and_end(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    chunks = events(http)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo w"},
        {"content": "orld"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["stop"]


def test_usage_chunk_comes_last(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    chunks = events(http, stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * 5
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {"prompt_tokens": 5, "total_tokens": 10, "completion_tokens": 5}


@pytest.mark.row(51)
def test_length_is_told_from_stop(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO, ends_by_end_id=False))
    body = http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER, "max_tokens": 4}).json()
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["completion_tokens"] == 4


def test_stop_id_as_last_allowed_token_is_stop(http: httpx.Client, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("a", "b"), [(0, b"<|endoftext|>")]], ends_by_end_id=False))
    body = http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER, "max_tokens": 3}).json()
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["choices"][0]["message"]["content"] == "ab"
    assert body["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("stream", [False, True])
def test_character_cut_by_chunks_is_whole(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    data = "año 😀".encode()
    fake.reset(Script([tokens(bytes([byte])) for byte in data]))
    answer = client.chat.completions.create(model=MODEL, messages=USER, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert text == "año 😀"


def test_special_tokens_are_left_out_unless_asked_for(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script([[*tokens("a"), (4, b"<reponame>"), *tokens("b")]]))
    answer = client.chat.completions.create(model=MODEL, messages=USER)
    assert answer.choices[0].message.content == "ab"
    answer = client.chat.completions.create(
        model=MODEL, messages=USER, extra_body={"skip_special_tokens": False}
    )
    assert answer.choices[0].message.content == "a<reponame>b"


@pytest.mark.row(50)
def test_stop_string_over_chunks_ends_the_engine(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("one"), tokens(" ST"), tokens("OP"), tokens("never")], hangs_after=3))
    answer = client.chat.completions.create(model=MODEL, messages=USER, stop=["STOP"], stream=True)
    chunks = list(answer)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one "
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].choices[0].model_extra["stop_reason"] == "STOP"
    assert fake.stop_ended.wait(5)
    assert fake.requests[0].id in fake.stopped_ids


def test_log_probs_are_those_of_each_token(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    answer = client.chat.completions.create(model=MODEL, messages=USER, logprobs=True, stream=True)
    content = [t for chunk in answer if chunk.choices[0].logprobs for t in chunk.choices[0].logprobs.content]
    assert [(t.token, t.logprob) for t in content] == [
        ("Hel", -0.5),
        ("lo", -1.0),
        (" w", -1.5),
        ("orld", -2.0),
    ]
    assert content[0].bytes == list(b"Hel")


@pytest.mark.row(28)
def test_choices_have_seeds_of_their_own(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    answer = client.chat.completions.create(model=MODEL, messages=USER, n=3, seed=7)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"Hello world"}
    assert sorted(fake.inputs(i)["seed"][0] for i in range(3)) == [7, 8, 9]
    assert answer.usage.prompt_tokens == 5
    assert answer.usage.completion_tokens == 15


@pytest.mark.row(26)
@pytest.mark.parametrize(
    ("parameters", "inputs"),
    [
        ({"temperature": 0}, {"top_k": [1]}),
        ({}, {"temperature": [1.0], "top_p": [1.0]}),
        ({"temperature": 0.5, "top_p": 0.25}, {"temperature": [0.5], "top_p": [0.25]}),
        (
            {"presence_penalty": 0.5, "frequency_penalty": -0.5},
            {"presence_penalty": [0.5], "frequency_penalty": [-0.5]},
        ),
        ({"extra_body": {"top_k": 7, "min_p": 0.5}}, {"top_k": [7], "min_p": [0.5]}),
        ({"extra_body": {"min_p": 1}}, {"top_k": [1]}),
        ({"extra_body": {"min_tokens": 3, "ignore_eos": True}}, {"min_tokens": [3], "end_id": [-1]}),
        ({"extra_body": {"repetition_penalty": 1.5}}, {"repetition_penalty": [1.5]}),
        ({"extra_body": {"stop_token_ids": [7, 8]}}, {"stop_token_ids": [7, 8]}),
        ({"extra_body": {"bad_words": ["no"]}}, {"bad_words": ["no"]}),
        (
            {"logit_bias": {"5": -100, "6": 1.5}},
            {"logit_bias_ids": [5, 6], "logit_bias_values": [-100.0, 1.5]},
        ),
        ({"max_tokens": 9}, {"max_tokens": [9]}),
        ({"max_tokens": 9, "max_completion_tokens": 8}, {"max_tokens": [8]}),
        ({"seed": -1}, {"seed": [2**64 - 1]}),
    ],
)
def test_parameters_reach_the_engine(
    client: openai.OpenAI, fake: FakeTriton, parameters: dict, inputs: dict[str, list]
) -> None:
    fake.reset(Script(HELLO))
    client.chat.completions.create(model=MODEL, messages=USER, **parameters)
    sent = fake.inputs()
    assert {name: sent[name] for name in inputs} == inputs


def test_rest_of_the_window_is_the_default_length(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    client.chat.completions.create(model=MODEL, messages=USER)
    assert "max_tokens" not in fake.inputs()


def test_unseeded_requests_differ_in_seed(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(HELLO))
    for _ in range(2):
        client.chat.completions.create(model=MODEL, messages=USER)
    assert fake.inputs(0)["seed"] != fake.inputs(1)["seed"]


def test_stop_id_of_the_client_is_the_stop_reason(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script([tokens("a", "b"), [(77, b"c")]], ends_by_end_id=False))
    extra = {"stop_token_ids": [77]}
    answer = client.chat.completions.create(model=MODEL, messages=USER, extra_body=extra)
    assert answer.choices[0].message.content == "ab"
    assert answer.choices[0].model_extra["stop_reason"] == 77
    assert answer.usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("engine_input", "param", "value"),
    [
        ("min_p", "min_p", 0.5),
        ("bad_words_list", "bad_words", ["no"]),
        ("embedding_bias", "logit_bias", {"1": 1}),
        ("guided_decoding_guide", "response_format", {"type": "json_object"}),
    ],
)
def test_what_the_engine_refuses_is_a_400_that_names_it(engine_input: str, param: str, value: object) -> None:
    chat = ChatRequest.model_validate({"model": MODEL, "messages": USER, param: value})
    from_chat(chat, served_by(FakeTriton()))
    with pytest.raises(InvalidRequest) as caught:
        from_chat(chat, served_by(FakeTriton(), refuses=engine_input))
    assert caught.value.param == param


def served_by(fake: FakeTriton, refuses: str = "") -> ServedModel:
    fake.configs["tensorrt_llm"].parameters["unsupported_inputs"].string_value = refuses
    steps = {name: fake.configs[name] for name in ("preprocess", "tensorrt_llm", "postprocess")}
    return served_model(fake.configs["ensemble"], fake.configs["ensemble_ids"], steps, created=0)
