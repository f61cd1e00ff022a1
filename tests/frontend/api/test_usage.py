import json
from typing import Any

import openai
import pytest

from frontend.api.anthropic.request import AnthropicRequest
from frontend.api.anthropic.request import to_chat as anthropic_to_chat
from frontend.api.body import parse_body
from frontend.api.chat.request import ChatRequest
from frontend.api.generation_request import from_chat
from frontend.api.responses.request import ResponsesRequest
from frontend.api.responses.request import to_chat as responses_to_chat
from frontend.triton.model import served_model
from tests.fakes.clients import anthropic_client
from tests.fakes.triton_server import FakeTriton, Output, Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack

USER = [{"role": "user", "content": "hi"}]
# Blocks of the KV cache have 32 tokens.
CACHED = Script([tokens("ok")], num_prompt_tokens=100, num_reused_blocks=2)


def count(number: int) -> Output:
    return "INT32", [1, 1], number.to_bytes(4, "little")


def ids_of(word: str) -> bytes:
    return tokens(word)[0][0].to_bytes(4, "little")


@pytest.mark.parametrize("stream", [False, True])
def test_chat_and_completions_tell_the_cached_tokens(
    client: openai.OpenAI, fake: FakeTriton, stream: bool
) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    fake.reset(CACHED)
    answers = [
        client.chat.completions.create(model=MODEL, messages=USER, **options),
        client.completions.create(model=MODEL, prompt="hi", n=2, **options),
    ]
    for answer in answers:
        usage = list(answer)[-1].usage if stream else answer.usage
        assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (100, 64)


@pytest.mark.parametrize(
    "repeated", [{}, {"num_input_tokens": count(100), "kv_cache_reused_blocks": count(2)}]
)
def test_an_engine_may_tell_once_what_it_knows_of_the_prompt(
    client: openai.OpenAI, fake: FakeTriton, repeated: dict[str, Output]
) -> None:
    text = [{"output_ids": ("INT32", [1, 1, 1], ids_of(word))} for word in ("a", "b", "c")]
    first = text[0] | {"num_input_tokens": count(100), "kv_cache_reused_blocks": count(2)}
    fake.reset(Script(answers=[(first, False), (text[1] | repeated, False), (text[2] | repeated, True)]))
    *chunks, last = client.chat.completions.create(
        model=MODEL, messages=USER, stream=True, max_tokens=3, stream_options={"include_usage": True}
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "abc"
    assert chunks[-1].choices[0].finish_reason == "length"
    assert (last.usage.prompt_tokens, last.usage.prompt_tokens_details.cached_tokens) == (100, 64)


@pytest.mark.parametrize("stream", [False, True])
def test_responses_tell_the_cached_tokens(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    fake.reset(CACHED)
    answer = client.responses.create(model=MODEL, input="hi", stream=stream)
    usage = (list(answer)[-1].response if stream else answer).usage
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens) == (100, 64)


def test_messages_count_the_cached_tokens_apart(stack: Stack) -> None:
    stack.fake.reset(CACHED)
    message = {"model": MODEL, "messages": USER, "max_tokens": 9}
    with anthropic_client(stack.url, API_KEY) as client:
        usage = client.messages.create(**message).usage
        with client.messages.stream(**message) as stream:
            streamed = stream.get_final_message().usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (36, 64)
    assert (streamed.input_tokens, streamed.cache_read_input_tokens) == (36, 64)


def inputs_for(backend: str, options: dict[str, Any]) -> set[str]:
    """Of an engine of that backend of Triton's."""
    fake = FakeTriton()
    fake.configs["tensorrt_llm"].backend = backend
    steps = {name: fake.configs[name] for name in ("preprocess", "tensorrt_llm", "postprocess")}
    model = served_model(fake.configs["ensemble"], fake.configs["ensemble_ids"], steps, created=0)
    body = json.dumps({"model": MODEL, "messages": USER, **options})
    [generation] = from_chat(parse_body(body.encode(), ChatRequest), model)
    return set(generation.inputs)


@pytest.mark.parametrize(
    ("options", "is_asked"),
    [
        ({}, True),
        ({"stream": True}, False),
        ({"stream": True, "stream_options": {"include_usage": False}}, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True),
        ({"stream": True, "stream_options": {"continuous_usage_stats": True}}, False),
    ],
)
def test_a_compiled_engine_is_asked_only_for_what_is_shown(options: dict[str, Any], is_asked: bool) -> None:
    """It tells by ten tensors in each response; a Python model drops what nobody asks for."""
    assert ("return_perf_metrics" in inputs_for("tensorrtllm", options)) is is_asked
    assert "return_perf_metrics" in inputs_for("python", options)


@pytest.mark.parametrize("stream", [False, True])
def test_the_other_apis_always_show_usage(stream: bool) -> None:
    message = {"model": MODEL, "messages": USER, "max_tokens": 9, "stream": stream}
    anthropic_request = parse_body(json.dumps(message).encode(), AnthropicRequest)
    assert anthropic_to_chat(anthropic_request).shows_usage
    responses_request = parse_body(
        json.dumps({"model": MODEL, "input": "hi", "stream": stream}).encode(), ResponsesRequest
    )
    assert responses_to_chat(responses_request).shows_usage


def test_usage_in_chunks_only_beside_that_at_the_end(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(CACHED)
    create = client.chat.completions.create
    alone = create(model=MODEL, messages=USER, stream=True, stream_options={"continuous_usage_stats": True})
    assert {chunk.usage for chunk in alone} == {None}


def test_the_role_is_no_token(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(CACHED)
    options = {"include_usage": True, "continuous_usage_stats": True}
    first, *_, last = client.chat.completions.create(
        model=MODEL, messages=USER, stream=True, stream_options=options
    )
    assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (100, 0)
    assert last.usage.completion_tokens == 2
