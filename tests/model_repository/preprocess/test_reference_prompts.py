"""Our ids are those of Meta's reference formatter, but for what docs/llama-3.1-prompt.md lists.

Each difference is a step that rewrites a conversation to what we mean by it before the reference formats it.
A step that is left out must change the ids of its example: no difference is listed that is none.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from preprocessor import Preprocessor

from tests.model_repository.preprocess.asking import SEED_CHAT, prompt_ids
from tests.model_repository.preprocess.conversations import Conversation, generate
from tests.model_repository.preprocess.reference import Reference

DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
HOW_TO_CALL = (
    'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.'
    "Do not use variables.\n\n"
)
FOR_USER = (
    "Given the following functions, please respond with a JSON for a function call "
    "with its proper arguments that best answers the given prompt.\n\n" + HOW_TO_CALL
)
FOR_SYSTEM = (
    "You have access to the following functions. "
    "To call a function, please respond with JSON for a function call." + HOW_TO_CALL
)

Messages = list[dict[str, Any]]
Step = Callable[[Conversation], Conversation]


def developer_is_system(conversation: Conversation) -> Conversation:
    return _each(conversation, lambda m: {**m, "role": "system" if m["role"] == "developer" else m["role"]})


def null_is_empty(conversation: Conversation) -> Conversation:
    return _each(conversation, lambda m: {**m, "content": m["content"] or ""})


def parts_are_joined(conversation: Conversation) -> Conversation:
    return _each(conversation, lambda m: {**m, "content": _joined(m["content"])})


def edges_are_trimmed(conversation: Conversation) -> Conversation:
    return _each(
        conversation, lambda m: m if m["role"] == "tool" else {**m, "content": _trimmed(m["content"])}
    )


def results_are_json(conversation: Conversation) -> Conversation:
    return _each(conversation, lambda m: {**m, "content": _json(m["content"])} if m["role"] == "tool" else m)


def calls_are_json(conversation: Conversation) -> Conversation:
    return _each(conversation, _with_calls_as_text)


def system_block_is_always_there(conversation: Conversation) -> Conversation:
    system, turns = _split_system(conversation.messages)
    head = "Environment: ipython\n" if conversation.tools else ""
    return Conversation([{"role": "system", "content": head + DATES + system}, *turns], conversation.tools)


def tools_are_in_a_message(conversation: Conversation) -> Conversation:
    if not conversation.tools:
        return conversation
    definitions = "".join(
        json.dumps(tool, ensure_ascii=False, indent=4) + "\n\n" for tool in conversation.tools
    )
    messages = [dict(message) for message in conversation.messages]
    first_user = next((message for message in messages if message["role"] == "user"), None)
    if first_user is None:
        system, turns = _split_system(messages)
        messages = [{"role": "system", "content": FOR_SYSTEM + definitions + system}, *turns]
    else:
        first_user["content"] = FOR_USER + definitions + first_user["content"]
    return Conversation(messages, conversation.tools)


STEPS: list[Step] = [
    developer_is_system,
    null_is_empty,
    parts_are_joined,
    edges_are_trimmed,
    results_are_json,
    calls_are_json,
    tools_are_in_a_message,
    system_block_is_always_there,
]

_TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
_CALL = {"id": "call_0", "type": "function", "function": {"name": "now", "arguments": '{"zone": "é"}'}}
_USER = {"role": "user", "content": "Hi"}

EXAMPLES: dict[str, tuple[Step, Conversation]] = {
    "developer": (developer_is_system, Conversation([{"role": "developer", "content": "Be brief."}, _USER])),
    "null": (null_is_empty, Conversation([_USER, {"role": "assistant", "content": None}])),
    "parts": (
        parts_are_joined,
        Conversation(
            [{"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}]
        ),
    ),
    "edges": (edges_are_trimmed, Conversation([{"role": "user", "content": "\n Hi "}])),
    "results": (results_are_json, Conversation([_USER, {"role": "tool", "content": 'a "b"'}])),
    "call": (
        calls_are_json,
        Conversation([_USER, {"role": "assistant", "content": "", "tool_calls": [_CALL]}]),
    ),
    "text before a call": (
        calls_are_json,
        Conversation([_USER, {"role": "assistant", "content": "Let me see.", "tool_calls": [_CALL]}]),
    ),
    "several calls": (
        calls_are_json,
        Conversation([_USER, {"role": "assistant", "content": "", "tool_calls": [_CALL, _CALL]}]),
    ),
    "no system message": (system_block_is_always_there, Conversation([_USER])),
    "system message": (system_block_is_always_there, Conversation(SEED_CHAT)),
    "tools": (tools_are_in_a_message, Conversation(SEED_CHAT, [_TOOL])),
    "tools without a user": (tools_are_in_a_message, Conversation(SEED_CHAT[:1], [_TOOL])),
}


@pytest.mark.parametrize("seed", range(500))
def test_generated_conversations_have_the_ids_of_the_reference(
    seed: int, llama: Preprocessor, reference: Reference
) -> None:
    conversation = generate(seed)
    assert _ours(llama, conversation) == _theirs(reference, conversation, STEPS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_listed_difference_is_one(name: str, llama: Preprocessor, reference: Reference) -> None:
    step, conversation = EXAMPLES[name]
    ours = _ours(llama, conversation)
    assert ours == _theirs(reference, conversation, STEPS)
    assert ours != _theirs(reference, conversation, [other for other in STEPS if other is not step])


def test_a_conversation_that_states_its_system_block_needs_no_step(
    llama: Preprocessor, reference: Reference
) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, _USER]
    expected = reference.chat([{"role": "system", "content": DATES + "Be brief."}, *turns])
    assert prompt_ids(llama, messages=[{"role": "system", "content": "Be brief."}, *turns]) == expected


def test_words_beyond_25000_characters_are_not_cut(llama: Preprocessor, reference: Reference) -> None:
    """The reference cuts there to spare tiktoken; the cut changes the ids around it."""
    text = "ab1" * 9000
    assert prompt_ids(llama, text_input=text)[1:] != reference.encode(text)
    assert prompt_ids(llama, text_input=text[:24000])[1:] == reference.encode(text[:24000])


def _ours(llama: Preprocessor, conversation: Conversation) -> list[int]:
    return prompt_ids(llama, messages=conversation.messages, tools=conversation.tools)


def _theirs(reference: Reference, conversation: Conversation, steps: Sequence[Step]) -> list[int]:
    for step in steps:
        conversation = step(conversation)
    return reference.chat([_acceptable(message) for message in conversation.messages])


def _acceptable(message: dict[str, Any]) -> dict[str, Any]:
    """What the reference's types allow; where a step is left out this is the nearest reading."""
    role = "user" if message["role"] == "developer" else message["role"]
    calls = [
        {
            "call_id": "",
            "tool_name": call["function"]["name"],
            "arguments": json.loads(call["function"]["arguments"]),
        }
        for call in message.get("tool_calls") or []
    ]
    content = "None" if message["content"] is None else message["content"]
    return {"role": role, "content": content, "tool_calls": calls}


def _each(conversation: Conversation, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Conversation:
    return Conversation([change(message) for message in conversation.messages], conversation.tools)


def _joined(content: Any) -> Any:
    return "".join(part["text"] for part in content) if isinstance(content, list) else content


def _trimmed(content: Any) -> Any:
    return content.strip() if isinstance(content, str) else content


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _with_calls_as_text(message: dict[str, Any]) -> dict[str, Any]:
    if not message.get("tool_calls"):
        return message
    functions = [call["function"] for call in message["tool_calls"]]
    calls = "; ".join(
        _json({"name": function["name"], "parameters": json.loads(function["arguments"])})
        for function in functions
    )
    text = message["content"] + "\n\n" if message["content"] else ""
    return {"role": "assistant", "content": text + calls}


def _split_system(messages: Messages) -> tuple[str, Messages]:
    if messages[0]["role"] == "system":
        return messages[0]["content"], messages[1:]
    return "", messages
