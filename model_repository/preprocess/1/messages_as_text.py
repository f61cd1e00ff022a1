"""Tools and names for models whose chat template has no place for them: told of in the messages' text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chat_messages import Message, Tool

# The form of a call is Llama 3.1's, which the frontend reads whatever the model.
_PREAMBLE = (
    "You can call these functions. To call one, answer with nothing but a JSON object of the form "
    '{"name": function name, "parameters": object of argument names and values}.'
)


def tell_of_tools(messages: Sequence[Message], tools: Sequence[Tool] | None) -> list[Message]:
    """Tools in the system message, and earlier calls as the model would have written them."""
    told = [_calls_as_content(message) for message in messages]
    if not tools:
        return told
    definitions = "\n".join(_to_json(tool) for tool in tools)
    text = f"{_PREAMBLE}\n\n{definitions}"
    if told[0]["role"] == "system":
        first = {**told[0], "content": f"{told[0]['content']}\n\n{text}"}
        return [first, *told[1:]]
    return [{"role": "system", "content": text}, *told]


def tell_names(messages: Sequence[Message]) -> list[Message]:
    """A name goes before what is said, as in a play; a tool's name is told by the call that it answers."""
    return [_with_name(message) for message in messages]


def _calls_as_content(message: Message) -> Message:
    calls = [_call(call["function"]) for call in message.get("tool_calls", [])]
    if not calls:
        return message
    content = "; ".join(calls)
    if message["content"]:
        content = f"{message['content']}\n\n{content}"
    return {**{key: value for key, value in message.items() if key != "tool_calls"}, "content": content}


def _call(function: Mapping[str, Any]) -> str:
    return _to_json({"name": function["name"], "parameters": function["arguments"]})


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _with_name(message: Message) -> Message:
    if "name" not in message or message["role"] == "tool" or not message["content"]:
        return message
    return {**message, "content": f"{message['name']}: {message['content']}"}
