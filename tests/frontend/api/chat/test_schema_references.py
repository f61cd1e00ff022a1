"""A moved schema means the same: its references find their targets, and its values are what they were."""

from typing import Any

import jsonschema_rs
import pytest

from frontend.api.chat.schema_references import moved

PLACE = "#/$defs/tool_t"
INTEGER = {"type": "integer"}
# A schema, what obeys it, what does not.
SCHEMAS: list[tuple[dict[str, Any], Any, Any]] = [
    ({"$ref": "#/$defs/A", "$defs": {"A": INTEGER}}, 1, "x"),
    (
        {"properties": {"a": {"const": {"$ref": "#/x"}}}},
        {"a": {"$ref": "#/x"}},
        {"a": {"$ref": f"{PLACE}/x"}},
    ),
    ({"enum": [{"$ref": "#", "$id": "b", "$anchor": "c"}]}, {"$ref": "#", "$id": "b", "$anchor": "c"}, {}),
    (
        {"properties": {"$ref": INTEGER, "$id": INTEGER, "$anchor": INTEGER}},
        {"$ref": 1, "$id": 2},
        {"$id": "x"},
    ),
    ({"properties": {"const": {"$ref": "#/$defs/A"}}, "$defs": {"A": INTEGER}}, {"const": 1}, {"const": "x"}),
    ({"properties": {"a": {"$ref": "#"}}, "type": "object"}, {"a": {"a": {}}}, {"a": 1}),
    ({"$id": "T0", "properties": {"a": {"$ref": "T0"}}, "type": "object"}, {"a": {}}, {"a": 1}),
    (
        {
            "$id": "https://example.com/a/b",
            "properties": {"a": {"$ref": "b#/$defs/A"}},
            "$defs": {"A": INTEGER},
        },
        {"a": 1},
        {"a": "x"},
    ),
    (
        {"$id": "urn:example:t", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": INTEGER}},
        {"a": 1},
        {"a": "x"},
    ),
    (
        {"properties": {"a": {"$ref": "#whole"}}, "$defs": {"A": {"$anchor": "whole", **INTEGER}}},
        {"a": 1},
        {"a": "x"},
    ),
    (
        {
            "properties": {"a": {"$ref": "inner.json#/$defs/B"}, "b": {"$ref": "inner.json"}},
            "$defs": {"in/ner": {"$id": "inner.json", "$ref": "#/$defs/B", "$defs": {"B": INTEGER}}},
        },
        {"a": 1, "b": 2},
        {"b": "x"},
    ),
    (
        {
            "properties": {"a": {"$ref": "#/components/schemas/A"}},
            "components": {"schemas": {"A": {"$ref": "#/components/schemas/B"}, "B": INTEGER}},
        },
        {"a": 1},
        {"a": "x"},
    ),
    ({"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}], "$defs": {"A": INTEGER}}, None, "x"),
    ({"properties": {"a": {"default": {"$ref": "#"}, **INTEGER}}}, {"a": 1}, {"a": "x"}),
]


@pytest.mark.parametrize(("schema", "good", "bad"), SCHEMAS)
def test_what_a_moved_schema_means(schema: dict[str, Any], good: Any, bad: Any) -> None:
    whole = {"$ref": PLACE, "$defs": {"tool_t": moved(schema, PLACE)}}
    for validated in (schema, whole):
        validator = jsonschema_rs.Draft202012Validator(validated)
        assert validator.is_valid(good)
        assert not validator.is_valid(bad)


def test_what_leads_elsewhere_stays() -> None:
    schema = {"$ref": "https://example.com/schema"}
    assert moved(schema, PLACE) == schema
