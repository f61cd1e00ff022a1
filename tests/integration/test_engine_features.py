"""What only an engine with its hands on the logits can do, through the SDK."""

import json
from pathlib import Path

import httpx2 as httpx
import openai
import pytest
from decoder.cpu_level import choose_level, cpu_flags, library_name

from scripts.soak.process_tree import children
from tests.integration.live_stack import API_KEY, LiveStack

pytestmark = pytest.mark.engines("cpu", "double")

MESSAGES = [{"role": "user", "content": "What is the capital of Italy?"}]
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Paris"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.mark.parametrize("stream", [False, True])
def test_top_log_probs(client: openai.OpenAI, live_stack: LiveStack, stream: bool) -> None:
    answer = client.chat.completions.create(
        model=live_stack.model,
        messages=MESSAGES,
        temperature=0,
        max_tokens=6,
        logprobs=True,
        top_logprobs=5,
        stream=stream,
    )
    choices = [chunk.choices[0] for chunk in answer] if stream else [answer.choices[0]]
    content = [token for choice in choices if choice.logprobs for token in choice.logprobs.content]
    assert len(content) == 6
    for token in content:
        logprobs = [top.logprob for top in token.top_logprobs]
        assert len(logprobs) == 5
        assert logprobs == sorted(logprobs, reverse=True)
        # Greedy: the chosen token is the likeliest.
        assert (token.token, token.logprob) == (token.top_logprobs[0].token, pytest.approx(logprobs[0]))


def test_completion_top_log_probs(client: openai.OpenAI, live_stack: LiveStack) -> None:
    answer = client.completions.create(
        model=live_stack.model, prompt="Computers are", temperature=0, max_tokens=4, logprobs=3
    )
    logprobs = answer.choices[0].logprobs
    assert len(logprobs.top_logprobs) == 4
    assert all(token in top for token, top in zip(logprobs.tokens, logprobs.top_logprobs, strict=True))


@pytest.mark.engines("cpu")
@pytest.mark.parametrize("stream", [False, True])
def test_echo_scores_the_prompt_as_the_answer_was(
    client: openai.OpenAI, live_stack: LiveStack, stream: bool
) -> None:
    request = {
        "model": live_stack.model,
        "prompt": "The capital of France is",
        "temperature": 0,
        "logprobs": 2,
    }
    written = client.completions.create(**request, max_tokens=12).choices[0]
    echo = request | {"prompt": request["prompt"] + written.text, "echo": True}
    answer = client.completions.create(**echo, max_tokens=0, stream=stream)
    choices = [chunk.choices[0] for chunk in answer] if stream else answer.choices
    assert "".join(choice.text for choice in choices) == echo["prompt"]
    assert choices[-1].finish_reason == "length"
    scored = choices[0].logprobs
    assert (scored.token_logprobs[0], scored.top_logprobs[0]) == (None, None)
    places = zip(scored.tokens, scored.text_offset, strict=True)
    assert all(echo["prompt"][offset:].startswith(token) for token, offset in places)
    assert scored.tokens[-12:] == written.logprobs.tokens
    # Activations are quantized by the step: one of 17 ids and those of one id differ by 0.11 at most here.
    assert scored.token_logprobs[-12:] == pytest.approx(written.logprobs.token_logprobs, abs=0.3)


def test_cached_tokens_are_counted(client: openai.OpenAI, live_stack: LiveStack) -> None:
    prompt = "Rivers run to the sea, " * 20
    usages = [
        client.completions.create(model=live_stack.model, prompt=prompt, max_tokens=1).usage for _ in range(2)
    ]
    assert usages[0].prompt_tokens_details is None
    cached = usages[1].prompt_tokens_details.cached_tokens
    assert usages[1].prompt_tokens - 32 <= cached < usages[1].prompt_tokens


def test_logit_bias_and_bad_words(client: openai.OpenAI, live_stack: LiveStack) -> None:
    request = {"model": live_stack.model, "prompt": "Computers are", "temperature": 0, "max_tokens": 8}
    free = client.completions.create(**request).choices[0].text
    word = free.split()[0]
    banned = client.completions.create(**request, extra_body={"bad_words": [f" {word}"]}).choices[0].text
    assert word not in banned.split()
    forced = client.completions.create(**request, logit_bias={"30": 100}).choices[0]
    assert len(set(forced.text)) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_json_schema_is_obeyed(client: openai.OpenAI, live_stack: LiveStack, stream: bool) -> None:
    answer = client.chat.completions.create(
        model=live_stack.model,
        messages=[{"role": "user", "content": "Tell me about Ann."}],
        max_tokens=80,
        stream=stream,
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}},
    )
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert set(json.loads(text)) == {"name", "age"}


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("guided_choice", ["yes", "no"], {"yes", "no"}),
        ("guided_regex", "[ab]{3}", {f"{a}{b}{c}" for a in "ab" for b in "ab" for c in "ab"}),
        ("guided_grammar", 'root ::= "x" | "y"', {"x", "y"}),
    ],
)
def test_other_guides_are_obeyed(
    client: openai.OpenAI, live_stack: LiveStack, field: str, value: object, allowed: set[str]
) -> None:
    answer = client.chat.completions.create(
        model=live_stack.model, messages=MESSAGES, max_tokens=16, extra_body={field: value}
    )
    assert answer.choices[0].message.content in allowed
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.engines("cpu")
def test_schema_that_does_not_compile_is_a_400(client: openai.OpenAI, live_stack: LiveStack) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=live_stack.model,
            messages=MESSAGES,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nope"}}},
        )
    assert caught.value.param == "response_format"


@pytest.mark.parametrize(
    ("choice", "finish_reason"),
    [("required", "tool_calls"), ({"type": "function", "function": {"name": "get_weather"}}, "stop")],
)
def test_forced_tool_calls(
    client: openai.OpenAI, live_stack: LiveStack, choice: object, finish_reason: str
) -> None:
    answer = client.chat.completions.create(
        model=live_stack.model, messages=MESSAGES, tools=[TOOL], tool_choice=choice, max_tokens=60
    )
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] in ("Rome", "Paris")
    assert answer.choices[0].finish_reason == finish_reason


@pytest.mark.engines("cpu")
@pytest.mark.parametrize("is_strict", [True, False])
def test_a_strict_tool_binds_a_call_that_nobody_forced(
    client: openai.OpenAI, live_stack: LiveStack, is_strict: bool
) -> None:
    """The model is pushed into beginning with JSON; a small one goes on with something else, unless held."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    asked = {"model": live_stack.model, "prompt": '{"'}
    answer = httpx.post(f"{live_stack.url}/tokenize", headers=headers, json=asked)
    [brace] = answer.json()["tokens"]
    tool = {**TOOL, "function": {**TOOL["function"], "strict": is_strict}}
    answer = client.chat.completions.create(
        model=live_stack.model,
        messages=MESSAGES,
        tools=[tool],
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=40,
        logit_bias={str(brace): 30},
    )
    calls = answer.choices[0].message.tool_calls
    assert len(calls) == is_strict
    assert all(json.loads(call.function.arguments)["city"] in ("Rome", "Paris") for call in calls)


@pytest.mark.engines("cpu")
def test_the_engine_computes_with_what_suits_the_cpu(live_stack: LiveStack) -> None:
    (tritonserver,) = children(live_stack.process.pid, "tritonserver")
    (engine,) = children(tritonserver, "engine_host")
    assert library_name(choose_level(cpu_flags())) in Path(f"/proc/{engine}/maps").read_text()
