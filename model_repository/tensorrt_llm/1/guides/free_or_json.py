"""The grammar of an answer that is free text or JSON by a schema: tools may be called and need not be."""

import json
from typing import Any

# Text must not be read as a call: it begins with neither JSON nor a tag, and holds no start of a call.
_GRAMMAR = r"""
start: TEXT | objects
objects: object (SEPARATOR object)*
object: %json {schema}
SEPARATOR: /[ \t\r\n]*[;,]?[ \t\r\n]*/
TEXT: FREE & ~CALLING
FREE: /([ \t\r\n]*[^{\[< \t\r\n](.|\n)*)?/
CALLING: /(.|\n)*(\{[ \t\r\n]*"(name|type|parameters|arguments)"|<function=)(.|\n)*/
"""


def free_or_json(schema: str, blank: str) -> str:
    """Takes a JSON schema and the pattern of what stands between the parts of JSON; raises ValueError."""
    parsed: Any = json.loads(schema)
    if not isinstance(parsed, dict):
        raise ValueError("the schema must be an object")
    options = {"x-guidance": {"whitespace_pattern": blank}}
    return _GRAMMAR.replace("{schema}", json.dumps(parsed | options))
