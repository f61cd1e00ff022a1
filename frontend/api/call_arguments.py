"""The arguments of the calls in a chat's history: each is the text of a JSON object."""

from collections.abc import Iterator, Sequence

from pydantic_core import from_json

from frontend.api.body import MAX_WEIGHT, json_depth, json_weight
from frontend.api.chat.messages import Message
from frontend.api.fields import field_error

MAX_ARGUMENTS_DEPTH = 32
# Of all calls: twice as much text as the 131,072 tokens of Llama 3.1's window hold.
MAX_ARGUMENTS_CHARS = 2**20


def check_arguments(messages: Sequence[Message]) -> None:
    """Raises PydanticCustomError that names the call."""
    num_chars = weight = 0
    for param, text in _arguments(messages):
        num_chars += len(text)
        if num_chars > MAX_ARGUMENTS_CHARS:
            raise field_error(param, f"must be of {MAX_ARGUMENTS_CHARS:,} characters at most, in all calls")
        weight += json_weight(text.encode())
        if weight > MAX_WEIGHT:
            raise field_error(param, "must hold fewer values, in all calls")
        if complaint := _complaint(text):
            raise field_error(param, complaint)


def _arguments(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    for index, message in enumerate(messages):
        for number, call in enumerate(message.tool_calls or []):
            yield f"messages[{index}].tool_calls[{number}].function.arguments", call.function.arguments


def _complaint(text: str) -> str | None:
    # Some clients write a call without arguments as an empty text.
    try:
        arguments = from_json(text or "{}", allow_inf_nan=False)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return "must be the text of a JSON object"
    if json_depth(arguments) > MAX_ARGUMENTS_DEPTH:
        return f"must not be nested deeper than {MAX_ARGUMENTS_DEPTH} levels"
    return None
