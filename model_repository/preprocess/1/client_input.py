"""Reads text and JSON that a client wrote, and refuses what no later step could handle."""

import json
from math import isfinite

# Tool schemas of real clients stay below 20; Triton's own HTTP frontend allows 100.
MAX_DEPTH = 64


class ClientError(Exception):
    """What a client can cause, in one sentence; `param` is the path of the field, as in OpenAI's errors."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code

    def as_json(self) -> str:
        return json.dumps({"message": self.message, "param": self.param, "code": self.code})


def decode_text(data: bytes, param: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ClientError(f"{param} is not valid UTF-8.", param) from error


def parse_json(text: str, param: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClientError(f"{param} is not valid JSON.", param) from error
    return value


def check_text(text: str, param: str) -> None:
    """Refuses lone surrogates: no UTF-8 text has them, and they mark places in rendered templates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ClientError(f"{param} has a lone surrogate, which is not valid Unicode.", param) from error


def check_value(value: object, param: str) -> None:
    """Refuses lone surrogates, non-finite numbers and nesting deeper than MAX_DEPTH."""
    level = [value]
    for _ in range(MAX_DEPTH):
        _check_leaves(level, param)
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise ClientError(f"{param} is nested deeper than {MAX_DEPTH} levels.", param)


def _check_leaves(level: list[object], param: str) -> None:
    for item in level:
        if isinstance(item, str):
            check_text(item, param)
        elif isinstance(item, float) and not isfinite(item):
            raise ClientError(f"{param} has a number that is not finite.", param)


def _children(item: object) -> list[object]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    return item if isinstance(item, list) else []
