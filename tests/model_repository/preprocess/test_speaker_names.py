from datetime import datetime

import pytest
from chat_template import ChatTemplate
from speaker_names import tell_names


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


@pytest.mark.parametrize(
    ("source", "takes_names"),
    [
        ("{{ message.name }}", True),
        ("{{ message['name'] }}", True),
        ("{{ tool.name }}{{ call['name'] }}{{ message.role }}", False),
        ("{{ messages[0].content }}", False),
    ],
)
def test_which_templates_have_a_place_for_names(source: str, takes_names: bool) -> None:
    assert ChatTemplate(source, datetime.now).takes_names is takes_names
