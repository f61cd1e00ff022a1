"""Prompts that are repeated, with and without their log-probs."""

import openai
import pytest

from frontend.api.completions.request import CompletionRequest
from frontend.api.generation_request import from_completion
from frontend.errors import InvalidRequest
from frontend.triton.model import served_model
from tests.fakes.triton_server import FakeTriton, Script, tokens
from tests.frontend.conftest import MODEL

# The fake's tokenizer makes the ids 0, 1, ... of any text, and spells id 17 as <17>; 0 to 16 are special.
ANSWER = [tokens("<1>"), tokens("lo")]


def ask(client: openai.OpenAI, stream: bool, **parameters: object) -> list:
    answer = client.completions.create(model=MODEL, echo=True, stream=stream, **parameters)
    return [chunk.choices[0] for chunk in answer] if stream else answer.choices


def joined(choices: list, name: str) -> list:
    return [value for choice in choices if choice.logprobs for value in getattr(choice.logprobs, name)]


@pytest.mark.parametrize("stream", [False, True])
def test_the_prompt_is_scored_before_the_answer(
    client: openai.OpenAI, fake: FakeTriton, stream: bool
) -> None:
    fake.reset(Script(ANSWER, num_prompt_tokens=3))
    choices = ask(client, stream, prompt="one two", logprobs=2)
    assert "".join(choice.text for choice in choices) == "one two<1>lo"
    assert joined(choices, "tokens") == ["<600>", "<601>", "<602>", "<1>", "lo"]
    assert joined(choices, "token_logprobs") == [None, -0.25, -0.5, -0.5, -1.0]
    first, second, *_, last = joined(choices, "top_logprobs")
    assert first is None
    assert second == {"<700>": -0.125, "<701>": -0.25, "<601>": -0.25}
    assert last == {"<501>": -0.125, "<502>": -0.25, "lo": -1.0}


def test_special_tokens_of_a_prompt_of_ids_are_in_its_text(client: openai.OpenAI, fake: FakeTriton) -> None:
    """What is listed is what is in the text; of the answer they are left out."""
    fake.reset(Script(ANSWER, num_prompt_tokens=4))
    [choice] = ask(client, stream=False, prompt=[1, 40, 2, 41], logprobs=0)
    assert choice.text == "<1><40><2><41><1>lo"
    assert choice.logprobs.tokens == ["<1>", "<40>", "<2>", "<41>", "<1>", "lo"]
    assert choice.logprobs.text_offset == [0, 3, 7, 10, 14, 17]
    assert choice.logprobs.top_logprobs == [None, {}, {}, {}, {}, {}]


def test_bytes_that_are_no_text_are_keys_of_their_own(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script([tokens(b"\xe2", b"\x80\x99")], num_prompt_tokens=2))
    [choice] = ask(client, stream=False, prompt="a", logprobs=1)
    assert choice.logprobs.tokens[-2:] == ["bytes:\\xe2", "bytes:\\x80\\x99"]
    assert list(choice.logprobs.top_logprobs[-1])[-1] == "bytes:\\x80\\x99"


@pytest.mark.parametrize("stream", [False, True])
def test_the_prompt_alone(client: openai.OpenAI, fake: FakeTriton, stream: bool) -> None:
    """As lm-eval scores texts."""
    fake.reset(Script(ANSWER, num_prompt_tokens=3))
    choices = ask(client, stream, prompt="one", logprobs=1, max_tokens=0)
    assert "".join(choice.text for choice in choices) == "one"
    assert choices[-1].finish_reason == "length"
    assert joined(choices, "token_logprobs") == [None, -0.25, -0.5]
    [inputs] = [fake.inputs(i) for i, it in enumerate(fake.requests) if it.model_name == "ensemble"]
    assert (inputs["max_tokens"], inputs["num_prompt_log_probs"]) == ([1], [1])


def test_the_prompt_alone_counts_no_completion(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(ANSWER, num_prompt_tokens=3))
    answer = client.completions.create(model=MODEL, prompt="one", echo=True, max_tokens=0)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 0)


def test_every_choice_of_every_prompt_is_scored(client: openai.OpenAI, fake: FakeTriton) -> None:
    fake.reset(Script(ANSWER, num_prompt_tokens=2))
    choices = ask(client, stream=False, prompt=["a", "b"], n=2, logprobs=0)
    assert [choice.text[0] for choice in choices] == ["a", "a", "b", "b"]
    assert [choice.logprobs.token_logprobs for choice in choices] == [[None, -0.25, -0.5, -1.0]] * 4


def test_an_engine_that_scores_no_prompts_is_a_400_that_names_the_field() -> None:
    fake = FakeTriton()
    fake.configs["tensorrt_llm"].parameters["unsupported_inputs"].string_value = "num_prompt_log_probs"
    steps = {name: fake.configs[name] for name in ("preprocess", "tensorrt_llm", "postprocess")}
    model = served_model(fake.configs["ensemble"], fake.configs["ensemble_ids"], steps, created=0)
    asked = {"model": MODEL, "prompt": "x", "echo": True}
    assert from_completion(CompletionRequest.model_validate(asked), model)
    with pytest.raises(InvalidRequest) as caught:
        from_completion(CompletionRequest.model_validate({**asked, "logprobs": 0}), model)
    assert caught.value.param == "echo"


@pytest.mark.parametrize(
    ("prompt", "ids", "offsets"),
    [
        ("<20><21>", [20, 21], [0, 4, 8, 11]),
        ("<20><21>", [1, 20, 21], [0, 0, 4, 8, 11]),
        ("<1><20><2><21>", [1, 20, 2, 21], [0, 3, 7, 10, 14, 17]),
        ("<2><20>", [1, 2, 20], [0, 0, 3, 7, 10]),
    ],
)
def test_control_tokens_of_a_raw_prompt_are_in_its_text(
    client: openai.OpenAI, fake: FakeTriton, prompt: str, ids: list[int], offsets: list[int]
) -> None:
    """What the tokenizer has put before it is not."""
    fake.reset(Script(ANSWER, num_prompt_tokens=len(ids), prompt_ids=ids))
    [choice] = ask(client, stream=False, prompt=prompt, logprobs=0)
    assert choice.text == f"{prompt}<1>lo"
    assert choice.logprobs.text_offset == offsets
