"""Names of participants, for templates that have no place for them."""

from collections.abc import Sequence

from chat_messages import Message


def tell_names(messages: Sequence[Message]) -> list[Message]:
    """A name goes before what is said, as in a play; a tool's name is told by the call that it answers."""
    return [_told(message) for message in messages]


def _told(message: Message) -> Message:
    if "name" not in message or message["role"] == "tool" or not message["content"]:
        return message
    return {**message, "content": f"{message['name']}: {message['content']}"}
