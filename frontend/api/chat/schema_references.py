"""A JSON schema that is put into another one: what refers to its own places is made to find them there."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin

Schema = dict[str, Any]

# Values, in which nothing is a keyword.
_VALUES = frozenset({"const", "enum", "default", "example", "examples", "required", "dependentRequired"})
# Names that clients choose -> schemas.
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_ANCHORS = ("$anchor", "$dynamicAnchor")


def moved(schema: Schema, place: str) -> Schema:
    """`place`: the pointer to it, such as #/$defs/answer. It loses its own names, $id and $anchor."""
    moving = _Moving(place)
    moving.note(schema, "", "")
    result: Schema = moving.moved(schema, "")
    return result


class _Moving:
    def __init__(self, place: str) -> None:
        self._place = place
        # URI of a resource or an anchor -> pointer to it from the schema's root.
        self._pointers = {"": ""}

    def note(self, node: Any, base: str, pointer: str) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$id"), str):
                base = _own_base(node, base)
                self._pointers.setdefault(_resolved(base, node["$id"]).removesuffix("#"), pointer)
            for name in _ANCHORS:
                self._pointers[f"{base}#{node.get(name)}"] = pointer
        for step, value in _subschemas(node):
            self.note(value, base, f"{pointer}/{step}")

    def moved(self, node: Any, base: str) -> Any:
        if isinstance(node, list):
            return [self.moved(item, base) for item in node]
        if not isinstance(node, dict):
            return node
        base = _own_base(node, base)
        return {
            key: self._moved_value(key, value, base)
            for key, value in node.items()
            if not (key in ("$id", *_ANCHORS) and isinstance(value, str))
        }

    def _moved_value(self, key: str, value: Any, base: str) -> Any:
        if key in _VALUES:
            return value
        if key in _MAPS and isinstance(value, dict):
            return {name: self.moved(item, base) for name, item in value.items()}
        return (
            self._found(value, base) if key == "$ref" and isinstance(value, str) else self.moved(value, base)
        )

    def _found(self, reference: str, base: str) -> str:
        """One that leads elsewhere stays, for the engine to refuse."""
        uri = _resolved(base, reference).removesuffix("#")
        if uri in self._pointers:
            return self._place + self._pointers[uri]
        resource, _, fragment = uri.partition("#")
        if resource in self._pointers and fragment.startswith("/"):
            return self._place + self._pointers[resource] + fragment
        return reference


def _subschemas(node: Any) -> Iterator[tuple[str, Any]]:
    """Keywords that nobody knows may hold schemas too: OpenAPI's components do."""
    if isinstance(node, list):
        yield from ((str(at), item) for at, item in enumerate(node))
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in _MAPS and isinstance(value, dict):
            yield from ((f"{_step(key)}/{_step(name)}", item) for name, item in value.items())
        elif key not in _VALUES:
            yield _step(key), value


def _own_base(node: Schema, base: str) -> str:
    """Drafts before 2019-09 name a place by an $id that is a fragment, which is no base."""
    own = node.get("$id")
    return base if not isinstance(own, str) or own.startswith("#") else _resolved(base, own).partition("#")[0]


def _resolved(base: str, reference: str) -> str:
    # urljoin knows no bases such as urn:example:tool.
    return base + reference if reference.startswith("#") else urljoin(base, reference)


def _step(key: str) -> str:
    return quote(key.replace("~", "~0").replace("/", "~1"), safe="~$")
