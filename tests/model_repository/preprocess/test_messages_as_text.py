import pytest
from client_input import ClientError
from messages_as_text import tell_names, tell_of_tools
from preprocessor import Preprocessor

from tests.model_repository.preprocess.asking import prompt_ids

NOW = {"type": "function", "function": {"name": "now", "description": "Tells the time"}}
USER = {"role": "user", "content": "hi"}
CALL = {"type": "function", "function": {"name": "now", "arguments": {"zone": "CET"}}}


def test_tools_stand_behind_the_system_text() -> None:
    system, user = tell_of_tools([{"role": "system", "content": "Be brief."}, USER], [NOW])
    assert system["content"].startswith("Be brief.\n\n")
    assert '"description": "Tells the time"' in system["content"]
    assert user == USER


def test_without_a_system_message_there_is_one_now() -> None:
    system, user = tell_of_tools([USER], [NOW])
    assert (system["role"], user) == ("system", USER)


@pytest.mark.parametrize(("content", "expected"), [("", ""), ("Well:", "Well:\n\n")])
def test_earlier_calls_are_what_the_model_wrote(content: str, expected: str) -> None:
    assistant = {"role": "assistant", "content": content, "tool_calls": [CALL, CALL]}
    call = '{"name": "now", "parameters": {"zone": "CET"}}'
    assert tell_of_tools([USER, assistant], None)[1] == {
        "role": "assistant",
        "content": f"{expected}{call}; {call}",
    }


def test_nothing_to_tell_changes_nothing() -> None:
    assert tell_of_tools([USER], None) == [USER]


def test_a_template_without_tools_still_tells_of_them(tiny: Preprocessor) -> None:
    # The tiny window is 64 tokens: a definition does not fit, which shows that it is in the prompt.
    plain = prompt_ids(tiny, messages=[USER])
    assert prompt_ids(tiny, messages=[USER], tools=[]) == plain
    with pytest.raises(ClientError, match="maximum context length"):
        prompt_ids(tiny, messages=[USER], tools=[NOW])


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"role": "user", "content": "Hi", "name": "ann"}, "ann: Hi"),
        ({"role": "system", "content": "Be kind.", "name": "host"}, "host: Be kind."),
        ({"role": "assistant", "content": "", "name": "bot", "tool_calls": [{}]}, ""),
        ({"role": "tool", "content": "7", "name": "add"}, "7"),
        ({"role": "user", "content": "Hi"}, "Hi"),
    ],
)
def test_a_name_goes_before_what_is_said(message: dict, content: str) -> None:
    [told] = tell_names([message])
    assert told["content"] == content
