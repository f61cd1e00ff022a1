import math

import numpy as np
import openai
import pytest

from frontend.api.chat.request import ChatRequest
from frontend.api.completions.request import CompletionRequest
from frontend.api.generation_request import from_chat, from_completion
from frontend.errors import EngineFailed, InvalidRequest
from frontend.generation.delta import TopToken
from frontend.generation.logprobs import read_top_tokens
from frontend.triton.model import ServedModel, served_model
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

ANSWER = [tokens("Hel"), tokens("lo", " w")]
ENDS_AT_77 = Script([tokens("a"), [(77, b"c")]], ends_by_end_id=False)
USER = [{"role": "user", "content": "hi"}]
TOP_OUTPUTS = {"chosen_log_probs", "top_log_prob_ids", "top_log_probs"}
ENGINE_INPUT = "return_generation_logits"


def generation_request(fake: FakeTriton) -> tuple[dict[str, object], set[str]]:
    """The generation's inputs and the names of its outputs."""
    [index] = [i for i, request in enumerate(fake.requests) if request.model_name == "ensemble"]
    return fake.inputs(index), {output.name for output in fake.requests[index].outputs}


def ask_chat(client: openai.OpenAI, stream: bool, **parameters: object) -> list:
    answer = client.chat.completions.create(
        model=MODEL, messages=USER, logprobs=True, stream=stream, **parameters
    )
    parts = [part.choices[0].logprobs for part in (answer if stream else [answer])]
    return [token for part in parts if part for token in part.content]


def ask_completion(client: openai.OpenAI, stream: bool, **parameters: object) -> list:
    answer = client.completions.create(model=MODEL, prompt="x", stream=stream, **parameters)
    parts = [part.choices[0].logprobs for part in (answer if stream else [answer])]
    return [row for part in parts for row in part.top_logprobs]


@pytest.mark.parametrize("stream", [False, True])
def test_chat_tells_the_likeliest_of_each_position(
    client: openai.OpenAI, fake: FakeTriton, stream: bool
) -> None:
    fake.reset(Script(ANSWER))
    content = ask_chat(client, stream, top_logprobs=2)
    assert [(token.token, token.logprob) for token in content] == [("Hel", -0.5), ("lo", -1.0), (" w", -1.5)]
    assert [[(top.token, top.logprob) for top in token.top_logprobs] for token in content] == [
        [("<500>", -0.125), ("<501>", -0.25)],
        [("<501>", -0.125), ("<502>", -0.25)],
        [("<502>", -0.125), ("<503>", -0.25)],
    ]
    assert content[0].top_logprobs[0].bytes == list(b"<500>")
    inputs, outputs = generation_request(fake)
    assert inputs[ENGINE_INPUT] == inputs["stream"] == [True]
    assert "return_log_probs" not in inputs
    assert outputs >= TOP_OUTPUTS


@pytest.mark.parametrize("stream", [False, True])
def test_completion_tells_the_chosen_token_too(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    fake.reset(Script([tokens("<500>"), tokens("lo")]))
    assert ask_completion(client, stream, logprobs=2) == [
        {"<500>": -0.125, "<501>": -0.25},
        {"<501>": -0.125, "<502>": -0.25, "lo": -1.0},
    ]


@pytest.mark.parametrize("stream", [False, True])
def test_cut_stop_id_has_no_row(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    parameters = {"extra_body": {"stop_token_ids": [77]}, "stream": stream}
    fake.reset(ENDS_AT_77)
    assert [len(token.top_logprobs) for token in ask_chat(client, top_logprobs=3, **parameters)] == [3]
    assert [list(row) for row in ask_completion(client, logprobs=1, **parameters) if row] == [["<500>", "a"]]


@pytest.mark.parametrize("parameters", [{}, {"top_logprobs": 0}])
def test_chat_sends_nothing_unless_asked(client: openai.OpenAI, fake: FakeTriton, parameters: dict) -> None:
    fake.reset(Script(ANSWER))
    assert [token.top_logprobs for token in ask_chat(client, stream=True, **parameters)] == [[], [], []]
    inputs, outputs = generation_request(fake)
    assert ENGINE_INPUT not in inputs
    assert not outputs & TOP_OUTPUTS
    assert len(fake.requests) == 1


def test_zero_of_completions_is_an_empty_object_a_token(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(ANSWER))
    assert ask_completion(client, stream=False, logprobs=0) == [{}, {}, {}]
    assert ENGINE_INPUT not in generation_request(fake)[0]


def test_engine_that_knows_no_alternatives_is_a_400_that_names_the_field() -> None:
    chat = ChatRequest.model_validate({"model": MODEL, "messages": USER, "logprobs": True, "top_logprobs": 1})
    completion = CompletionRequest.model_validate({"model": MODEL, "prompt": "x", "logprobs": 1})
    with pytest.raises(InvalidRequest) as of_chat:
        from_chat(chat, without_alternatives())
    with pytest.raises(InvalidRequest) as of_completion:
        from_completion(completion, without_alternatives())
    assert (of_chat.value.param, of_completion.value.param) == ("top_logprobs", "logprobs")


@pytest.mark.parametrize("extra", [{}, {"logprobs": 0}, {"top_logprobs": 5}, {"min_p": 0}])
def test_neutral_values_need_no_support(extra: dict[str, int]) -> None:
    completion = CompletionRequest.model_validate({"model": MODEL, "prompt": "x", **extra})
    [generation] = from_completion(completion, without_alternatives())
    assert not {ENGINE_INPUT, "min_p"} & generation.inputs.keys()


def without_alternatives() -> ServedModel:
    fake = FakeTriton()
    refused = fake.configs["tensorrt_llm"].parameters["unsupported_inputs"]
    refused.string_value = f"{ENGINE_INPUT},min_p"
    steps = {name: fake.configs[name] for name in ("preprocess", "tensorrt_llm", "postprocess")}
    return served_model(fake.configs["ensemble"], fake.configs["ensemble_ids"], steps, created=0)


VOCABULARY = [b"%d" % token_id for token_id in range(20)]


def read(
    num_tokens: int, ids: list[int], logprobs: list[float], num_top: int = 1
) -> list[tuple[TopToken, ...]]:
    outputs = {
        "top_log_prob_ids": np.array(ids, "<i4").tobytes(),
        "top_log_probs": np.array(logprobs, "<f4").tobytes(),
    }
    return read_top_tokens(outputs, VOCABULARY, num_tokens, num_top)


def test_a_token_that_cannot_come_has_the_least_log_prob() -> None:
    assert read(1, [7, 8], [0.0, -math.inf], 2) == [(TopToken(b"7", 0.0), TopToken(b"8", -9999.0))]


def test_only_the_wanted_are_told() -> None:
    assert read(2, [7, 8, 9, 10], [-1.0, -2.0, -3.0, -4.0]) == [
        (TopToken(b"7", -1.0),),
        (TopToken(b"9", -3.0),),
    ]


def test_a_response_without_tokens_has_no_rows() -> None:
    assert read(0, [], []) == []


@pytest.mark.parametrize(
    ("ids", "logprobs"), [([], []), ([1, 2, 3], [0.0] * 3), ([1, 2], [0.0]), ([1], [0.0])]
)
def test_rows_that_do_not_fit_are_refused(ids: list[int], logprobs: list[float]) -> None:
    with pytest.raises(EngineFailed):
        read(2, ids, logprobs)


def test_missing_rows_are_refused() -> None:
    with pytest.raises(EngineFailed):
        read_top_tokens({}, VOCABULARY, 1, 1)
