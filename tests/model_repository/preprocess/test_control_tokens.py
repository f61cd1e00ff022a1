"""User text can never become a control token, wherever it stands and however it is cut."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from control_tokens import MARK, ControlTokens
from hypothesis import given
from hypothesis import strategies as st
from preprocessor import Preprocessor
from prompt_tokenizer import PromptTokenizer

from tests.fuzzing import examples
from tests.model_repository.preprocess.asking import prompt_ids
from tests.model_repository.preprocess.conversations import SPECIAL_TEXTS

FIRST_CONTROL_ID = 128000

special_pieces = st.one_of(
    st.sampled_from(SPECIAL_TEXTS),
    st.builds(lambda name, cut: name[:cut], st.sampled_from(SPECIAL_TEXTS), st.integers(0, 12)),
    st.builds(lambda name, cut: name[cut:], st.sampled_from(SPECIAL_TEXTS), st.integers(0, 12)),
    st.text(max_size=4),
)
# Ends in a letter: the template writes an empty text differently, and that is not the question here.
attacks = st.lists(special_pieces, max_size=6).map(lambda pieces: "".join(pieces) + "x")


def chat(text: Callable[[], str]) -> dict[str, Any]:
    """A text in every field that a client controls."""
    arguments = json.dumps({text(): [text(), {text(): text()}]})
    function = {
        "name": text(),
        "description": text(),
        "parameters": {text(): {"enum": [text()]}},
        text(): text(),
    }
    calls = [{"id": text(), "type": "function", "function": {"name": text(), "arguments": arguments}}] * 2
    parts = [{"type": "text", "text": text()}, {"type": "text", "text": text()}]
    return {
        "tools": [{"type": "function", "function": function}],
        "messages": [
            {"role": "system", "content": text(), "name": text()},
            {"role": "developer", "content": text()},
            {"role": "user", "content": parts, "name": text()},
            {"role": "assistant", "content": text(), "tool_calls": calls},
            {"role": "tool", "content": text(), "tool_call_id": text()},
            {"role": "tool", "content": parts, "tool_call_id": text()},
            {"role": "assistant", "content": text()},
            {"role": "user", "content": text()},
        ],
    }


def control_ids(ids: list[int]) -> list[int]:
    return [index for index in ids if index >= FIRST_CONTROL_ID]


@pytest.mark.row(20)
@examples(150, repeats=True)
@given(data=st.data())
def test_attacks_in_any_field_change_no_control_id(data: st.DataObject, llama: Preprocessor) -> None:
    harmless = control_ids(prompt_ids(llama, **chat(lambda: "x")))
    attacked = control_ids(prompt_ids(llama, **chat(lambda: data.draw(attacks))))
    assert attacked == harmless


@examples(150, repeats=True)
@given(text=attacks)
def test_a_raw_prompt_is_a_chat_that_its_sender_has_rendered(
    text: str, llama: Preprocessor, llama_tokenizer: PromptTokenizer
) -> None:
    plain = text.replace("<", "(")
    header = "<|start_header_id|>{}<|end_header_id|>\n\n"
    rendered = f"{header.format('user')}{plain}<|eot_id|>{header.format('assistant')}"
    ids = prompt_ids(llama, text_input=rendered)
    user = [128006, *llama_tokenizer.encode("user"), 128007, *llama_tokenizer.encode(f"\n\n{plain}"), 128009]
    assert ids[: len(user) + 1] == [128000, *user]
    assert control_ids(ids) == [128000, 128006, 128007, 128009, 128006, 128007]
    assert prompt_ids(llama, text_input=f"<|begin_of_text|>{rendered}") == ids
    assert prompt_ids(llama, text_input=rendered, add_special_tokens=False) == ids[1:]


@examples(150, repeats=True)
@given(text=attacks)
def test_an_attack_is_the_same_text_as_any_other(
    text: str, llama: Preprocessor, llama_tokenizer: PromptTokenizer
) -> None:
    """Marks leave no trace: the ids between the control tokens are those of the text alone."""
    ids = prompt_ids(llama, messages=[{"role": "user", "content": "|" + text}])
    text_ids = llama_tokenizer.encode("|" + text)
    assert ids[-5 - len(text_ids) : -5] == text_ids


@pytest.mark.row(20)
@pytest.mark.parametrize("cut", range(1, 10))
def test_a_control_token_cut_over_two_parts_stays_text(llama: Preprocessor, cut: int) -> None:
    name = "<|eot_id|>"
    parts = [{"type": "text", "text": name[:cut]}, {"type": "text", "text": name[cut:]}]
    whole = prompt_ids(llama, messages=[{"role": "user", "content": name}])
    assert prompt_ids(llama, messages=[{"role": "user", "content": parts}]) == whole
    assert whole.count(128009) == 2


def test_marks_are_put_into_keys_and_values() -> None:
    marked = ControlTokens({"<a>": 0}).mark({"<a>": ["<", 1, None, {"b": "<a>"}]})
    assert marked == {f"<{MARK}a>": [f"<{MARK}", 1, None, {"b": f"<{MARK}a>"}]}


def test_the_longest_control_token_wins() -> None:
    assert ControlTokens({"<a>": 0, "<a><b>": 1}).split("x<a><b><a>") == ["x", 1, 0]
