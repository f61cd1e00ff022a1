import anthropic
import openai
import pytest

from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import API_KEY, MODEL, Stack

USER = [{"role": "user", "content": "hi"}]
# Blocks of the KV cache have 32 tokens.
CACHED = Script([tokens("ok")], num_prompt_tokens=100, num_reused_blocks=2)


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


def test_responses_tell_the_cached_tokens(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(CACHED)
    usage = client.responses.create(model=MODEL, input="hi").usage
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens) == (100, 64)


def test_messages_count_the_cached_tokens_apart(stack: Stack) -> None:
    stack.fake.reset(CACHED)
    with anthropic.Anthropic(base_url=stack.url, api_key=API_KEY, max_retries=0) as client:
        usage = client.messages.create(model=MODEL, messages=USER, max_tokens=9).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (36, 64)
