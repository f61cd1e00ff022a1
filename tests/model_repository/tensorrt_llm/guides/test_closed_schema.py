"""What an answer may hold beside what its schema names: nothing, unless the schema says so.

The closing is xgrammar 0.1.25's, in its default strict mode: asked directly, an object schema with
`properties`, also empty ones, takes no other member, a bare {"type": "object"} any, {} any value.
"""

import json
from typing import Any

import pytest
from guides.closed_schema import closed
from llguidance import LLMatcher, LLTokenizer

INT = {"type": "integer"}
BASE = {"type": "object", "properties": {"a": INT}, "required": ["a"]}
SUB = {"allOf": [{"$ref": "#/$defs/Base"}, {"properties": {"b": INT}, "required": ["b"]}]}
OBJECT = {"type": "object"}
BYTES = LLTokenizer("byte")

# A schema, answers that obey it, answers that do not.
CASES: list[tuple[Any, list[str], list[str]]] = [
    (BASE, ['{"a":1}'], ['{"a":1,"b":2}', "{}", '{"a":1,"a":2}']),
    (BASE | {"additionalProperties": True}, ['{"a":1,"b":[2]}'], ['{"a":1,"a":2}']),
    (BASE | {"additionalProperties": INT}, ['{"a":1,"b":2}'], ['{"a":1,"b":"x"}']),
    (BASE | {"unevaluatedProperties": False}, ['{"a":1}'], ['{"a":1,"b":2}']),
    (BASE | {"unevaluatedProperties": True}, ['{"a":1,"b":2}'], []),
    ({"properties": {}, **OBJECT}, ["{}"], ['{"b":2}']),
    (OBJECT, ["{}", '{"b":{"c":2}}'], ["[]"]),
    ({}, ["[1]", '{"b":2}', "null"], ["x"]),
    (True, ["[1]", "null"], ["x"]),
    (
        {"properties": {"a": BASE, "o": OBJECT}, **OBJECT},
        ['{"a":{"a":1},"o":{"x":1}}'],
        ['{"a":{"a":1,"b":2}}'],
    ),
    ({"type": "array", "items": BASE}, ['[{"a":1}]'], ['[{"a":1,"b":2}]']),
    (OBJECT | {"additionalProperties": BASE}, ['{"x":{"a":1}}'], ['{"x":{"a":1,"b":2}}']),
    (OBJECT | {"patternProperties": {"^x": BASE}}, ['{"x":{"a":1}}'], ['{"x":{"a":1,"b":2}}']),
    (
        {"properties": {"a": INT}, "required": ["b"], **OBJECT},
        ['{"a":1,"b":"x"}'],
        ['{"a":1}', '{"b":1,"c":2}'],
    ),
    ({"properties": {"a": INT}, "type": ["object", "null"]}, ['{"a":1}', "null"], ['{"b":1}']),
    (
        {"anyOf": [BASE, {"properties": {"b": INT}, **OBJECT}]},
        ['{"b":1}'],
        ['{"b":1,"c":1}', '{"a":1,"b":1}'],
    ),
    # What several schemas say of one object is closed together.
    (SUB | {"$defs": {"Base": BASE}}, ['{"a":1,"b":2}'], ['{"a":1}', '{"a":1,"b":2,"c":3}']),
    (
        {"properties": {"s": SUB, "b": {"$ref": "#/$defs/Base"}}, **OBJECT, "$defs": {"Base": BASE}},
        ['{"s":{"a":1,"b":2},"b":{"a":1}}'],
        ['{"b":{"a":1,"b":2}}'],
    ),
    ({"allOf": [{"$ref": "#/$defs/Base"}], "$defs": {"Base": BASE}}, ['{"a":1}'], ['{"a":1,"b":2}']),
    ({"$ref": "#/$defs/Base", "$defs": {"Base": BASE}}, ['{"a":1}'], ['{"a":1,"b":2}']),
    (
        {"properties": {"k": INT}, **OBJECT, "anyOf": [{"required": ["k"]}, {"properties": {"b": INT}}]},
        ['{"k":1}', '{"k":1,"b":2}'],
        ['{"k":1,"c":2}'],
    ),
    ({"allOf": [BASE, {"additionalProperties": True}]}, ['{"a":1,"b":2}'], []),
    # Keywords are keywords where schemas stand, and nowhere else.
    ({"const": {"properties": {"a": 1}, "format": "x"}}, ['{"properties":{"a":1},"format":"x"}'], ["{}"]),
    (
        {"properties": {"properties": BASE, "format": INT}, **OBJECT},
        ['{"properties":{"a":1},"format":2}'],
        [],
    ),
    ({"type": "array", "prefixItems": [INT, INT]}, ["[1,2]"], ["[1,2,3]"]),
    ({"type": "array", "prefixItems": [INT], "items": INT}, ["[1,2]"], ['[1,"x"]']),
    ({"type": "array", "prefixItems": [INT], "minItems": 2}, ['[1,"x"]'], ["[1]"]),
    # A format that nobody knows says nothing.
    *(({"type": "string", "format": name}, ['"x"'], ["1"]) for name in ("uuid4", "path", "binary", "regex")),
    ({"type": "string", "format": "date"}, ['"2024-01-02"'], ['"x"']),
    # What a pattern says of named properties holds, and leaves no way to a further one.
    (
        BASE | {"additionalProperties": False, "patternProperties": {"^(a|b)$": {"maximum": 5}, "^a$": INT}},
        ['{"a":1}', '{"a":1,"b":2}'],
        ['{"a":6}'],
    ),
]


def accepts(schema: Any, text: str) -> bool:
    grammar = LLMatcher.grammar_from_json_schema(json.dumps(closed(schema)))
    matcher = LLMatcher(BYTES, grammar)
    assert not matcher.is_error(), matcher.get_error()
    ids = list(text.encode())
    if matcher.validate_tokens(ids) < len(ids):
        return False
    matcher.consume_tokens(ids)
    return matcher.is_accepting()


@pytest.mark.parametrize(("schema", "good", "bad"), CASES)
def test_what_is_accepted(schema: Any, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not accepts(schema, text)] == []
    assert [text for text in bad if accepts(schema, text)] == []


def test_no_way_leads_to_a_dead_end() -> None:
    schema = BASE | {"additionalProperties": False, "patternProperties": {"^a$": INT}}
    assert not accepts(schema, '{"a":1,')
    grammar = LLMatcher.grammar_from_json_schema(json.dumps(closed(schema)))
    matcher = LLMatcher(BYTES, grammar)
    assert matcher.validate_tokens(list(b'{"a":1,')) == len(b'{"a":1')


def test_a_schema_of_a_few_bytes_does_not_become_a_large_one() -> None:
    wide = {"properties": {f"p{index}": {} for index in range(200)}}
    users = {f"q{index}": {"allOf": [{"$ref": "#/$defs/Wide"}, {"title": "x"}]} for index in range(200)}
    with pytest.raises(ValueError, match="too many members"):
        closed({"properties": users, "$defs": {"Wide": wide}})


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": 5, "required": [[]], "$ref": []},
        {"prefixItems": 5, "minItems": "x"},
        {"allOf": {}, "anyOf": [5], "format": [], "patternProperties": 7},
        {"$ref": "#/nowhere/at/all", "properties": {}},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
    ],
)
def test_nonsense_is_left_to_the_compiler(schema: Any) -> None:
    closed(schema)
