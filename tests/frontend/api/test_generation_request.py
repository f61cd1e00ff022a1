"""Prompts that begin alike go to one Triton, whichever turn of a conversation they are."""

from dataclasses import replace
from typing import Any

import pytest

from frontend.api.chat.request import ChatRequest
from frontend.api.completions.request import CompletionRequest
from frontend.api.generation_request import CHAT_SLACK, from_chat, from_completion
from frontend.errors import InvalidRequest
from frontend.triton.routing import MIN_CHARS, MIN_IDS
from tests.fakes.served_model import SERVED

# Of at most 2 bytes a token.
BOUNDED = replace(SERVED, longest_token=2)
LONG = "x" * MIN_CHARS
FIRST_TURN = (("system", LONG), ("user", "a"))
SECOND_TURN = (*FIRST_TURN, ("assistant", "b"), ("user", "c"))


def chat_key(*messages: tuple[str, Any], model: str = SERVED.name) -> bytes | None:
    fields = [{"role": role, "content": content} for role, content in messages]
    [generation] = from_chat(ChatRequest.model_validate({"model": model, "messages": fields}), SERVED)
    return generation.conversation


def text_key(prompt: str | list[int], model: str = SERVED.name) -> bytes | None:
    completion = CompletionRequest.model_validate({"model": model, "prompt": prompt})
    [generation] = from_completion(completion, SERVED)
    return generation.conversation


def test_every_turn_of_a_conversation_has_its_key() -> None:
    assert chat_key(*FIRST_TURN) == chat_key(*SECOND_TURN) is not None
    parts = [{"type": "text", "text": LONG}]
    assert (
        chat_key(("user", parts)) == chat_key(("user", parts), ("assistant", "b"), ("user", "c")) is not None
    )


def test_what_an_answer_says_is_no_beginning() -> None:
    """Not even where it looks like the JSON of a message."""
    said = ', {"role": "assistant"'
    assert chat_key(("system", LONG + said), ("user", "a")) != chat_key(
        ("system", LONG + said), ("user", "b")
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (chat_key(*FIRST_TURN), chat_key(("system", LONG), ("user", "b"))),
        (chat_key(*FIRST_TURN), chat_key(*FIRST_TURN, model="adapter")),
        (text_key(LONG), text_key(LONG[1:] + "y")),
        (text_key(LONG), text_key(LONG, "adapter")),
        (text_key([1] * MIN_IDS), text_key([2] * MIN_IDS)),
    ],
)
def test_other_beginnings_have_other_keys(one: bytes | None, other: bytes | None) -> None:
    assert one is not None
    assert other is not None
    assert one != other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (text_key(LONG), text_key(LONG + "y")),
        (text_key([1] * MIN_IDS), text_key([1] * MIN_IDS + [2])),
    ],
)
def test_prompts_that_begin_alike_have_one_key(one: bytes | None, other: bytes | None) -> None:
    assert one == other is not None


@pytest.mark.parametrize("key", [chat_key(("user", "hi")), text_key("hi"), text_key([1, 2])])
def test_short_prompts_have_none(key: bytes | None) -> None:
    assert key is None


def test_what_no_tokens_could_make_fit_is_sent_to_nobody() -> None:
    most = 2 * SERVED.max_model_len
    fields = {"model": SERVED.name, "n": 8}
    texts = CompletionRequest.model_validate({**fields, "prompt": ["x" * most, "x" * (most + 1)]})
    with pytest.raises(InvalidRequest, match="maximum context length") as refusal:
        from_completion(texts, BOUNDED)
    assert (refusal.value.param, refusal.value.code) == ("prompt", "context_length_exceeded")
    message = {"role": "user", "content": "x" * most * CHAT_SLACK}
    with pytest.raises(InvalidRequest) as refusal:
        from_chat(ChatRequest.model_validate({**fields, "messages": [message]}), BOUNDED)
    assert refusal.value.param == "messages"


@pytest.mark.parametrize("truncation", [{}, {"truncate_prompt_tokens": 1}])
def test_what_may_fit_is_the_tokenizers_to_judge(truncation: dict[str, int]) -> None:
    length = 2 * SERVED.max_model_len + len(truncation)
    fields = {"model": SERVED.name, "prompt": "x" * length, **truncation}
    assert from_completion(CompletionRequest.model_validate(fields), BOUNDED)
