"""Renders a chat template as Hugging Face does, in a sandbox. Needs jinja2 alone: the build uses it too."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

# What the expressions of a template raise when the messages are not as it expects.
_EXPRESSION_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class TemplateRefused(Exception):
    """The template is broken, breaks out of the sandbox, or does not accept the messages."""


class _RaisedByTemplate(TemplateError):
    """A template's own raise_exception: its message is written for the user."""


class _Generation(Extension):
    """{% generation %} tells trainings what a model wrote (transformers' AssistantTracker); here a scope."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 types it as an attribute of objects

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Stops at the first unsafe attribute, where Jinja would go on with an empty value."""

    def unsafe_undefined(self, obj: object, attribute: str) -> NoReturn:
        raise SecurityError(f"{type(obj).__name__}.{attribute}")


class ChatTemplate:
    """`today` gives the date for templates that print one."""

    def __init__(self, source: str, today: Callable[[], datetime]) -> None:
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: today().strftime(form)
        self._today = today
        try:
            self._template = environment.from_string(source)
            parsed = environment.parse(source)
            self.takes_tools = "tools" in find_undeclared_variables(parsed)
            self.takes_names = _reads_name_of_message(parsed)
        except (TemplateError, RecursionError) as error:
            raise TemplateRefused(f"it is not a valid template ({error}).") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        *,
        add_generation_prompt: bool,
    ) -> str:
        """The prompt's text; raises TemplateRefused."""
        try:
            return self._template.render(
                messages=messages,
                tools=tools,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                date_string=self._today().strftime("%d %b %Y"),
            )
        except _RaisedByTemplate as error:
            raise TemplateRefused(str(error)) from error
        except (TemplateError, *_EXPRESSION_ERRORS) as error:
            raise TemplateRefused(f"it can't render these messages ({type(error).__name__}).") from error


def _reads_name_of_message(template: nodes.Template) -> bool:
    """Whether it writes message.name or message['name'] anywhere."""
    attributes = [(node.node, node.attr) for node in template.find_all(nodes.Getattr)]
    attributes += [
        (node.node, node.arg.value)
        for node in template.find_all(nodes.Getitem)
        if isinstance(node.arg, nodes.Const)
    ]
    return any(
        isinstance(of, nodes.Name) and (of.name, name) == ("message", "name") for of, name in attributes
    )


def _to_json(value: object, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """Unlike Jinja's own filter this escapes no HTML and keeps the order of keys."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise(message: str) -> NoReturn:
    raise _RaisedByTemplate(message)
