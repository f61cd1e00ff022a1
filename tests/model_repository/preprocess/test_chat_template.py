from datetime import datetime
from typing import Any

import pytest
from chat_template import ChatTemplate, TemplateRefused

DAY = datetime(2024, 7, 26)
MESSAGES = [{"role": "user", "content": "Hi"}]


def render(source: str, messages: Any = MESSAGES, tools: Any = None) -> str:
    return ChatTemplate(source, lambda: DAY).render(messages, tools, add_generation_prompt=True)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ strftime_now('%d %B %Y') }}", "26 July 2024"),
        ("{{ date_string }}", "26 Jul 2024"),
        ("{% if true %}\n  {% if true %}\na\n  {% endif %}\n{% endif %}", "a\n"),
        ("{{ {'b': '<é>', 'a': 1} | tojson }}", '{"b": "<é>", "a": 1}'),
        ("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'),
        ("{% for m in messages %}{% break %}{% endfor %}x", "x"),
        ("{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}\n{% endfor %}x", "Hix"),
        ("{% set a = 1 %}{% generation %}{% set a = 2 %}{% endgeneration %}{{ a }}", "1"),
        ("{{ documents is none }}", "True"),
        ("{{ tools is none }} {{ add_generation_prompt }}", "True True"),
    ],
)
def test_renders_as_hugging_face_does(source: str, expected: str) -> None:
    assert render(source) == expected


@pytest.mark.row(54)
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{{ raise_exception('Only one turn.') }}", "Only one turn."),
        ("{{ messages[0].content + 1 }}", "TypeError"),
        ("{{ messages[7].content }}", "UndefinedError"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ ''.__class__ }}", "SecurityError"),
        ("{{ ''['__class__'] }}", "SecurityError"),
        ("{{ '' | attr('__class__') }}", "SecurityError"),
        ("{{ raise_exception.__globals__ }}", "SecurityError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ range(10000000) | list }}", "OverflowError"),
        ("{% include '/etc/passwd' %}", "TypeError"),
    ],
)
def test_a_template_that_fails_is_refused(source: str, reason: str) -> None:
    with pytest.raises(TemplateRefused, match=reason):
        render(source)


@pytest.mark.parametrize("source", ["{% if %}", "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}"])
def test_a_template_that_is_none_is_refused(source: str) -> None:
    with pytest.raises(TemplateRefused, match="not a valid template"):
        render(source)


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
