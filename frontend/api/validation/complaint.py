"""What pydantic finds wrong with a body -> an InvalidRequest that says what is allowed and what was sent."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from frontend.errors import InvalidRequest

MAX_SHOWN_CHARS = 40

_TYPES = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_BOUNDS = {
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
}
_LENGTHS = {
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "too_short": "must have {min_length} or more elements",
    "too_long": "must have {max_length} or fewer elements",
}


def invalid_field(document: Mapping[str, Any], error: ValidationError) -> InvalidRequest:
    """The deepest place tells most: a union reports each of its branches; types that fit tell more yet."""
    errors = error.errors(include_url=False)
    told = max(errors, key=lambda item: (len(item["loc"]), item["type"] != "missing", _fits(item)))
    param = _param_of(document, told)
    alike = [item for item in errors if not _fits(item) and _param_of(document, item) == param]
    context, text = told.get("ctx", {}), _text(told, alike)
    if "note" in context:
        text = f"{text}: {context['note']}"
    code = "missing_required_parameter" if told["type"] == "missing" else "invalid_value"
    refusal = InvalidRequest(f"{param}: {text}." if param else f"{text}.", param=param or None, code=code)
    refusal.details = context.get("details")
    return refusal


def shown(value: object) -> str:
    """A value as a client reads it, short."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."


def _fits(details: ErrorDetails) -> bool:
    return details["type"] not in _TYPES and details["type"] != "none_required"


def _text(told: ErrorDetails, alike: Sequence[ErrorDetails]) -> str:
    kind, context, sent = told["type"], told.get("ctx", {}), told["input"]
    if kind == "missing":
        return "is required"
    if not _fits(told):
        kinds = dict.fromkeys(_TYPES[item["type"]] for item in alike if item["type"] in _TYPES)
        return f"must be {' or '.join(kinds) or 'null'}, not {shown(sent)}"
    if kind in _BOUNDS:
        bounds = {
            name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()
        }
        return f"{_BOUNDS[kind].format(**bounds)}, not {shown(sent)}"
    if kind in _LENGTHS:
        return f"{_LENGTHS[kind].format(**context)}, not {len(sent)}"
    text = told["msg"].removeprefix("Value error, ")
    if not text.startswith("must be "):
        return text
    if isinstance(sent, dict) and "param" in context:
        return f"{text}, not {shown(sent[context['param']])}" if context["param"] in sent else text
    return f"{text}, not {shown(sent)}" if "param" not in context else text


def _param_of(document: Mapping[str, Any], details: ErrorDetails) -> str:
    field = details.get("ctx", {}).get("param")
    return _param(document, (*details["loc"], field) if field else details["loc"])


def _param(document: object, loc: Sequence[int | str]) -> str:
    """The path of a field as a client wrote it, messages[0].content; a union's branch names are left out."""
    path = ""
    for index, part in enumerate(loc):
        if part == "[key]":
            break
        if isinstance(document, dict) and (part in document or index == len(loc) - 1):
            path += f".{part}" if path else str(part)
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            path += f"[{part}]"
            document = document[part]
    return path
