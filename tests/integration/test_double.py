"""The stack on the contract of TensorRT-LLM, with Llama 3.1's tokenizer and template."""

import asyncio
import json
from typing import Any

import openai
import pytest

from scripts.replay.check import words_of
from tests.fakes.clients import anthropic_client
from tests.integration.live_stack import API_KEY, LiveStack
from tests.integration.serve_double import ADAPTER

pytestmark = pytest.mark.engines("double")

SEED_CHAT = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is machine learning?"},
]
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {}}}},
}
CALL = '{"name": "get_weather", "parameters": {"city": "Rome"}}'


def told(**directive: Any) -> list[dict[str, str]]:
    """Messages by which the engine is told what to do."""
    return [{"role": "user", "content": f"<<replay {json.dumps(directive)}>>"}]


def streamed(client: openai.OpenAI, **request: Any) -> str:
    stream = client.chat.completions.create(**request, stream=True)
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


class TestNumbersOfTheSeed:
    """Its prompts and their lengths, as its documentation shows them."""

    def test_chat(self, client: openai.OpenAI, live_stack: LiveStack) -> None:
        answer = client.chat.completions.create(model=live_stack.model, messages=SEED_CHAT, max_tokens=10)
        assert answer.usage.prompt_tokens == 46
        assert (answer.usage.completion_tokens, answer.usage.total_tokens) == (10, 56)
        assert answer.choices[0].finish_reason == "length"

    def test_completion(self, client: openai.OpenAI, live_stack: LiveStack) -> None:
        answer = client.completions.create(model=live_stack.model, prompt="Computers are", temperature=0)
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 16)


class TestEnd:
    def test_the_end_id_is_counted_and_not_shown(self, client: openai.OpenAI, live_stack: LiveStack) -> None:
        answer = client.chat.completions.create(model=live_stack.model, messages=told(say="Hello"))
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello", "stop")
        assert answer.usage.completion_tokens == 2

    @pytest.mark.parametrize("name", ["<|eom_id|>", "<|end_of_text|>"])
    def test_a_stop_id_is_not_shown_either(
        self, client: openai.OpenAI, live_stack: LiveStack, name: str
    ) -> None:
        request = {"model": live_stack.model, "messages": told(say=f"Hello{name} there")}
        answer = client.chat.completions.create(**request)
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello", "stop")
        assert answer.usage.completion_tokens == 2
        assert streamed(client, **request) == "Hello"

    def test_at_the_limit_it_is_the_length(self, client: openai.OpenAI, live_stack: LiveStack) -> None:
        answer = client.chat.completions.create(
            model=live_stack.model, messages=told(say="Hello there"), max_tokens=2
        )
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (
            "Hello there",
            "length",
        )


class TestText:
    @pytest.mark.parametrize(
        "text",
        [
            "f\u00fc\u00dfe \U0001f926\U0001f3fd\u200d\u2642\ufe0f \u4f60\u597d",
            "a\n\n  b\tc",
            "  x ",
            "<b>&amp;</b>",
        ],
    )
    def test_every_character_arrives(self, client: openai.OpenAI, live_stack: LiveStack, text: str) -> None:
        request = {"model": live_stack.model, "messages": told(say=text)}
        assert client.chat.completions.create(**request).choices[0].message.content == text
        assert streamed(client, **request) == text

    def test_a_stop_string_across_tokens(self, client: openai.OpenAI, live_stack: LiveStack) -> None:
        request = {"model": live_stack.model, "messages": told(say="one two three"), "stop": ["wo th"]}
        assert client.chat.completions.create(**request).choices[0].message.content == "one t"
        assert streamed(client, **request) == "one t"

    def test_no_token_is_lost_or_doubled_or_another_stream_s(self, live_stack: LiveStack) -> None:
        async def one(api: openai.AsyncOpenAI, number: int) -> str:
            stream = await api.completions.create(
                model=live_stack.model,
                prompt=f"Number {number}",
                max_tokens=50,
                stream=True,
                extra_body={"ignore_eos": True},
            )
            return "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])

        async def all_of_them() -> list[str]:
            async with openai.AsyncOpenAI(base_url=f"{live_stack.url}/v1", api_key=API_KEY) as api:
                return await asyncio.gather(*(one(api, number) for number in range(32)))

        words = words_of(live_stack.log.parent)
        texts = asyncio.run(all_of_them())
        assert all(words.is_unbroken(text) and len(text.split()) == 50 for text in texts)
        assert len(set(texts)) == 32


class TestToolCalls:
    @pytest.mark.parametrize("say", [CALL, f"<|python_tag|>{CALL}<|eom_id|>"])
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_call_of_the_model_s_own_accord(
        self, client: openai.OpenAI, live_stack: LiveStack, say: str, stream: bool
    ) -> None:
        answer = client.chat.completions.create(
            model=live_stack.model, messages=told(say=say), tools=[TOOL], stream=stream
        )
        if stream:
            chunks = [chunk.choices[0] for chunk in answer]
            calls = [call.function for it in chunks for call in it.delta.tool_calls or ()]
            name, reason = calls[0].name, chunks[-1].finish_reason
            arguments = "".join(call.arguments or "" for call in calls)
        else:
            (call,) = answer.choices[0].message.tool_calls
            name, arguments = call.function.name, call.function.arguments
            reason = answer.choices[0].finish_reason
        assert (name, json.loads(arguments), reason) == ("get_weather", {"city": "Rome"}, "tool_calls")

    def test_text_stays_text(self, client: openai.OpenAI, live_stack: LiveStack) -> None:
        answer = client.chat.completions.create(
            model=live_stack.model, messages=told(say="It rains."), tools=[TOOL]
        )
        assert (answer.choices[0].message.content, answer.choices[0].message.tool_calls or []) == (
            "It rains.",
            [],
        )


class TestOtherApis:
    def test_responses(self, client: openai.OpenAI, live_stack: LiveStack) -> None:
        request = {"model": live_stack.model, "input": told(say="Hello there")[0]["content"]}
        whole = client.responses.create(**request)
        assert (whole.output_text, whole.status) == ("Hello there", "completed")
        events = list(client.responses.create(**request, stream=True))
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(deltas) == "Hello there"
        assert whole.usage.output_tokens == events[-1].response.usage.output_tokens == 3

    def test_messages(self, live_stack: LiveStack) -> None:
        with anthropic_client(live_stack.url, API_KEY) as client:
            request: Any = {
                "model": live_stack.model,
                "max_tokens": 20,
                "messages": told(say="Hello there"),
            }
            whole = client.messages.create(**request)
            with client.messages.stream(**request) as stream:
                text = stream.get_final_text()
        assert [block.text for block in whole.content] == ["Hello there"]
        assert (whole.stop_reason, text) == ("end_turn", "Hello there")


class TestAdapters:
    def test_are_models_of_their_own(self, client: openai.OpenAI, live_stack: LiveStack) -> None:
        names = [model.id for model in client.models.list()]
        assert names == [live_stack.model, ADAPTER]
        request = {"prompt": "Computers are", "temperature": 0}
        texts = [client.completions.create(**request, model=name).choices[0].text for name in names]
        assert len(set(texts)) == 2


class TestFaults:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        "fault", ["error", "no_response", "wrong_dtype", "wrong_shape", "missing_tensor"]
    )
    def test_before_the_first_token(
        self, client: openai.OpenAI, live_stack: LiveStack, fault: str, stream: bool
    ) -> None:
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(
                model=live_stack.model, messages=told(fault=fault), max_tokens=8, stream=stream
            )
        assert caught.value.code == "internal_error"

    @pytest.mark.parametrize(
        "fault", ["error", "no_response", "wrong_dtype", "wrong_shape", "missing_tensor"]
    )
    def test_within_a_stream(self, client: openai.OpenAI, live_stack: LiveStack, fault: str) -> None:
        stream = client.chat.completions.create(
            model=live_stack.model, messages=told(fault=fault, after=3), max_tokens=8, stream=True
        )
        texts: list[str] = []
        with pytest.raises(openai.APIError) as caught:
            texts.extend(chunk.choices[0].delta.content for chunk in stream)
        assert caught.value.code == "internal_error"
        # An ensemble that fails drops what its last step has not given yet.
        assert 1 <= len([text for text in texts if text]) <= 3

    @pytest.mark.parametrize("fault", ["hang", "never_final"])
    def test_silence_ends_when_the_client_leaves(
        self, client: openai.OpenAI, live_stack: LiveStack, fault: str
    ) -> None:
        stream = client.chat.completions.create(
            model=live_stack.model,
            messages=told(fault=fault, after=3),
            max_tokens=8,
            stream=True,
            timeout=1.0,
        )
        with pytest.raises(openai.APITimeoutError):
            list(stream)
        assert client.completions.create(model=live_stack.model, prompt="Computers are").usage

    def test_a_full_window_is_refused_before_the_engine_sees_it(
        self, client: openai.OpenAI, live_stack: LiveStack
    ) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model=live_stack.model, prompt="word " * 9000)
        assert caught.value.code == "context_length_exceeded"
