"""Chat messages to prompt pieces: text that is text, and the ids of the control tokens between."""

from collections.abc import Callable
from dataclasses import dataclass

from chat_messages import Message, read_messages, read_tools
from chat_template import ChatTemplate, TemplateRefused
from client_input import ClientError, parse_json
from control_tokens import END_OF_CONTENT, ControlTokens
from messages_as_text import tell_names, tell_of_tools


@dataclass(frozen=True)
class ChatOptions:
    """How the prompt ends: an assistant's turn is opened, or the last one is left open."""

    add_generation_prompt: bool
    continue_final_message: bool


def read_options(add_generation_prompt: bool | None, continue_final_message: bool) -> ChatOptions:
    """A prompt that continues the last message opens no new turn, so asking for both is refused."""
    if add_generation_prompt and continue_final_message:
        raise ClientError(
            "continue_final_message and add_generation_prompt exclude each other.", "continue_final_message"
        )
    return ChatOptions(
        add_generation_prompt is not False and not continue_final_message, continue_final_message
    )


def render_chat(
    template: ChatTemplate,
    control: ControlTokens,
    messages: str,
    tools: str | None,
    options: ChatOptions,
    check_length: Callable[[str], None],
) -> list[str | int]:
    """`messages` and `tools` are JSON; raises ClientError.

    check_length: refuses contents that are too long in all, before a template takes its time over them.
    """
    checked = read_messages(parse_json(messages, "messages"))
    check_length("".join(message["content"] for message in checked))
    definitions = None if tools is None else read_tools(parse_json(tools, "tools"))
    if options.continue_final_message:
        _check_continuable(checked[-1])
    if not template.takes_tools:
        checked, definitions = tell_of_tools(checked, definitions), None
    if not template.takes_names:
        checked = tell_names(checked)
    marked = [_mark(message, control) for message in checked]
    if options.continue_final_message:
        _mark_end(marked[-1])
    try:
        rendered = template.render(
            marked, control.mark(definitions), add_generation_prompt=options.add_generation_prompt
        )
    except TemplateRefused as error:
        raise ClientError(f"The model's chat template refused the messages: {error}", "messages") from error
    if options.continue_final_message:
        rendered = _cut(rendered, checked[-1]["content"])
    return control.split(rendered)


def _mark(message: Message, control: ControlTokens) -> Message:
    """Roles are this project's own words, by which templates choose."""
    return {key: value if key == "role" else control.mark(value) for key, value in message.items()}


def _check_continuable(message: Message) -> None:
    if message["role"] != "assistant" or "tool_calls" in message:
        raise ClientError(
            "continue_final_message needs a last message of the assistant without tool calls.", "messages"
        )


def _mark_end(message: Message) -> None:
    text, spaces = _split_trailing_space(message["content"])
    message["content"] = text + END_OF_CONTENT + spaces


def _cut(rendered: str, content: str) -> str:
    """Everything up to the end of the last content; its trailing space only if the template kept it."""
    before, mark, after = rendered.rpartition(END_OF_CONTENT)
    if not mark:
        raise ClientError("The model's chat template can't continue the last message.", "messages")
    spaces = _split_trailing_space(content)[1]
    return before + spaces if after.startswith(spaces) else before


def _split_trailing_space(text: str) -> tuple[str, str]:
    stripped = text.rstrip()
    return stripped, text[len(stripped) :]
