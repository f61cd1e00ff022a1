"""Guides that llguidance does not know, as the Lark grammars that it takes."""

import json
import re
from typing import Any

from llguidance.gbnf_to_lark import gbnf_to_lark

# The conversion looks at every rule as often as there are rules: 60 ms for 1000.
_MAX_RULES = 1000

# The missing end of a text or class is left for the conversion to complain about.
_PIECE = re.compile(
    r"""
    (?P<quoted> "(?:\\.|[^"\\])*"? | \[(?:\\.|[^\]\\])*\]? )
    | (?P<comment> \#[^\n]* )
    | (?P<newline> \r?\n (?=[ \t]*\|) )
    | (?P<group> \( )
    """,
    re.VERBOSE | re.DOTALL,
)
_EBNF_RULE = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
_LARK_RULE = re.compile(r"^\s*(?:%llguidance\b|[?!]?\w+(?:\[[^\]\n]*\])?(?:\.-?\d+)?\s*:)", re.MULTILINE)
_ESCAPE = re.compile(
    r"\\(?: x(?P<x>[0-9a-fA-F]{2}) | u(?P<u>[0-9a-fA-F]{4}) | U(?P<U>[0-9a-fA-F]{8}) | (?P<other>.) )",
    re.VERBOSE | re.DOTALL,
)
_CONTROL_ESCAPES = {"b": "\b", "f": "\f"}


# Text must not be read as a call: it begins with neither JSON nor a tag, and holds no start of a call.
_FREE_OR_JSON = r"""
start: TEXT | objects
objects: object (SEPARATOR object)*
object: %json {schema}
SEPARATOR: /[ \t\r\n]*[;,]?[ \t\r\n]*/
TEXT: FREE & ~CALLING
FREE: /([ \t\r\n]*[^{\[< \t\r\n](.|\n)*)?/
CALLING: /(.|\n)*(\{[ \t\r\n]*"(name|type|parameters|arguments)"|<function=)(.|\n)*/
"""


def is_lark(text: str) -> bool:
    """Whether its rules begin as Lark's do, `start: ...`, and none as EBNF's, `root ::= ...`."""
    return bool(_LARK_RULE.search(text)) and not _EBNF_RULE.search(text)


def ebnf_to_lark(text: str) -> str:
    """Takes EBNF as users write it, in xgrammar's and llama.cpp's manner; raises ValueError."""
    if text.count("::=") > _MAX_RULES:
        raise ValueError(f"it has more than {_MAX_RULES} rules")
    plain = _PIECE.sub(_plain_piece, text)
    try:
        return str(gbnf_to_lark(plain))
    # The conversion raises bare Exceptions, and an IndexError or RecursionError where it does not look out.
    except Exception as error:
        raise ValueError(str(error)) from error


def _plain_piece(piece: re.Match[str]) -> str:
    """What the conversion understands: no alternative on a line of its own, few escapes.

    It drops the parentheses of ([a-z]+)? unless something stands beside the repetition.
    """
    if piece["quoted"] is not None:
        return _ESCAPE.sub(_plain_escape, piece["quoted"])
    return {"comment": "", "newline": " ", "group": '("" '}[str(piece.lastgroup)]


def _plain_escape(escape: re.Match[str]) -> str:
    """The conversion drops zeros at the beginning of \\u, and Lark knows no \\U."""
    digits = escape["x"] or escape["u"] or escape["U"]
    if digits is not None:
        return _spelled(chr(int(digits, 16)))
    other = escape["other"]
    if other in _CONTROL_ESCAPES:
        return _spelled(_CONTROL_ESCAPES[other])
    return escape[0] if other.isalnum() or other in '"\\[]' else _spelled(other)


def _spelled(character: str) -> str:
    return f"\\x{ord(character):02x}" if character.isascii() else character


def free_or_json(schema: str, blank: str) -> str:
    """Takes a JSON schema and the pattern of what stands between the parts of JSON; raises ValueError."""
    parsed: Any = json.loads(schema)
    if not isinstance(parsed, dict):
        raise ValueError("the schema must be an object")
    options = {"x-guidance": {"whitespace_pattern": blank}}
    return _FREE_OR_JSON.replace("{schema}", json.dumps(parsed | options))
