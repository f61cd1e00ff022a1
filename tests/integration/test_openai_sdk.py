"""The official SDK against the whole stack: frontend, tritonserver, ensemble, engine."""

import asyncio

import openai
import pytest

from tests.fakes.clients import anthropic_client
from tests.integration.live_stack import API_KEY, LiveStack

pytestmark = pytest.mark.engines("cpu", "double")

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


def test_chat_whole_and_streamed_are_the_same_text(client: openai.OpenAI, live_stack: LiveStack) -> None:
    request = {"model": live_stack.model, "messages": MESSAGES, "temperature": 0, "max_tokens": 40}
    whole = client.chat.completions.create(**request)
    stream = client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
    *chunks, last = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    )
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    # The second time, the prompt may be found in the KV cache.
    for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(last.usage, count) == getattr(whole.usage, count)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


@pytest.mark.engines("cpu")
def test_the_model_knows_something(client: openai.OpenAI, live_stack: LiveStack) -> None:
    answer = client.chat.completions.create(
        model=live_stack.model, messages=MESSAGES, temperature=0, max_tokens=40
    )
    assert "Paris" in answer.choices[0].message.content


def test_completion_whole_and_streamed_are_the_same_text(
    client: openai.OpenAI, live_stack: LiveStack
) -> None:
    request = {"model": live_stack.model, "prompt": "Computers are", "temperature": 0, "max_tokens": 40}
    whole = client.completions.create(**request).choices[0]
    choices = [chunk.choices[0] for chunk in client.completions.create(**request, stream=True)]
    assert "".join(choice.text for choice in choices) == whole.text != ""
    assert choices[-1].finish_reason == whole.finish_reason


def test_response_whole_and_streamed_are_the_same_text(client: openai.OpenAI, live_stack: LiveStack) -> None:
    request = {
        "model": live_stack.model,
        "input": MESSAGES[0]["content"],
        "temperature": 0,
        "max_output_tokens": 40,
    }
    whole = client.responses.create(**request)
    with client.responses.stream(**request) as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(pieces) == final.output_text == whole.output_text != ""
    assert (final.status, final.usage.output_tokens) == (whole.status, whole.usage.output_tokens)


def test_message_whole_and_streamed_are_the_same_text(live_stack: LiveStack) -> None:
    request = {
        "model": live_stack.model,
        "messages": MESSAGES,
        "max_tokens": 40,
        # The SDK knows it no longer.
        "extra_body": {"temperature": 0},
    }
    with anthropic_client(live_stack.url, API_KEY) as client:
        whole = client.messages.create(**request)
        with client.messages.stream(**request) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        long = [{"role": "user", "content": "word " * 9000}]
        counted = client.messages.count_tokens(model=live_stack.model, messages=long)
    assert text == final.content[0].text == whole.content[0].text != ""
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)
    # More than the context window holds is counted all the same.
    assert counted.input_tokens > 9000


def test_natural_end_is_stop_and_counts_the_end_token(client: openai.OpenAI, live_stack: LiveStack) -> None:
    answer = client.chat.completions.create(
        model=live_stack.model,
        messages=[{"role": "user", "content": "Say hi."}],
        temperature=0,
        logprobs=True,
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens == len(answer.choices[0].logprobs.content) + 1


def test_completion_default_is_16_tokens(client: openai.OpenAI, live_stack: LiveStack) -> None:
    answer = client.completions.create(model=live_stack.model, prompt="Computers are", temperature=0)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 16


def test_stop_string_is_not_leaked(client: openai.OpenAI, live_stack: LiveStack) -> None:
    request = {
        "model": live_stack.model,
        "prompt": "One, two, three, four,",
        "temperature": 0,
        "max_tokens": 30,
    }
    free = client.completions.create(**request).choices[0].text
    stop = free[8:14]
    stopped = client.completions.create(**request, stop=stop).choices[0]
    assert stopped.text == free[: free.index(stop)]
    assert (stopped.finish_reason, stopped.model_extra["stop_reason"]) == ("stop", stop)


def test_same_seed_same_text(client: openai.OpenAI, live_stack: LiveStack) -> None:
    def sample(seed: int) -> str:
        return (
            client.completions.create(
                model=live_stack.model, prompt="Once upon a time", temperature=1.5, max_tokens=24, seed=seed
            )
            .choices[0]
            .text
        )

    assert sample(11) == sample(11)
    assert len({sample(seed) for seed in range(4)}) > 1


def test_ignore_eos_and_min_tokens_give_the_length_asked_for(
    client: openai.OpenAI, live_stack: LiveStack
) -> None:
    answer = client.chat.completions.create(
        model=live_stack.model,
        messages=[{"role": "user", "content": "Say hi."}],
        temperature=0,
        max_tokens=64,
        extra_body={"ignore_eos": True},
    )
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (64, "length")


def test_choices_differ_when_sampled(client: openai.OpenAI, live_stack: LiveStack) -> None:
    answer = client.completions.create(
        model=live_stack.model, prompt="Once upon a time", temperature=1.5, max_tokens=24, n=4
    )
    assert len({choice.text for choice in answer.choices}) > 1


def test_many_async_streams_at_once(live_stack: LiveStack) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        stream = await client.chat.completions.create(
            model=live_stack.model,
            messages=[{"role": "user", "content": f"Count to {number}."}],
            temperature=0,
            max_tokens=32,
            stream=True,
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{live_stack.url}/v1", api_key=API_KEY) as client:
            return await asyncio.gather(*(one(client, number) for number in range(16)))

    assert all(asyncio.run(all_of_them()))


def test_prompt_over_the_window(client: openai.OpenAI, live_stack: LiveStack) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=live_stack.model, messages=[{"role": "user", "content": "word " * 9000}]
        )
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


def test_max_tokens_over_the_window(client: openai.OpenAI, live_stack: LiveStack) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=live_stack.model, messages=MESSAGES, max_tokens=8192)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "max_tokens")


def test_client_that_leaves_frees_the_engine(client: openai.OpenAI, live_stack: LiveStack) -> None:
    stream = client.completions.create(
        model=live_stack.model,
        prompt="Once",
        max_tokens=8000,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    next(iter(stream))
    stream.close()
    answer = client.completions.create(model=live_stack.model, prompt="Computers are", temperature=0)
    assert answer.usage.completion_tokens == 16
