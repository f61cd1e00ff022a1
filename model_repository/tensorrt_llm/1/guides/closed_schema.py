"""JSON schemas as xgrammar reads them, TensorRT-LLM's library: closed unless they open themselves.

By the specification an object may have any member beside its `properties`, and a model invents some. xgrammar
0.1.25 takes an absent `additionalProperties` for false (json_schema_converter.cc, strict_mode, its default),
and items behind `prefixItems` likewise. A `format` that nobody knows says nothing (JSON Schema, Validation,
7.2.3).
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote

Schema: TypeAlias = dict[str, Any]

_COMBINED = ("allOf", "anyOf", "oneOf")
_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTS = frozenset({*_COMBINED, "prefixItems", "items"})
_SINGLE = frozenset({"items", "additionalItems", "additionalProperties", "contains"})
# Those that llguidance 1.9.1 has grammars of.
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown")
)
# Names that objects take over from what they are combined with: each object has all of them.
_MAX_FOREIGN = 10_000
# A pattern that a few names obey and no other.
_NAMES_ALONE = re.compile(r"\^(?:\((?:\?:)?([\w|-]+)\)|([\w-]+))\$")


def closed(schema: Any) -> Any:
    """The same schema with what is silently open in it closed; ValueError for one that grows too much."""
    return _Closing(schema).rewritten(schema, "#", is_part=False)


@dataclass
class _Members:
    """What an object schema, with all that it consists of, says of the members of an object."""

    names: dict[str, None] = field(default_factory=dict)
    has_properties: bool = False
    is_open: bool = False


class _Closing:
    def __init__(self, root: Any) -> None:
        self._root = root
        # Pointers to definitions that are combined with other schemas of one object: these are left open, and
        # the combination is closed.
        self._parts: set[str] = set()
        self._num_foreign = 0
        self._find_parts(root)

    def _find_parts(self, node: Any) -> None:
        if isinstance(node, dict) and _num_parts(node) > 1:
            deque(self._parts_of(node, self._parts), maxlen=0)
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            self._find_parts(value)

    def rewritten(self, node: Any, pointer: str, is_part: bool) -> Any:
        if not isinstance(node, dict):
            return node
        is_part = is_part or pointer in self._parts
        is_combined = is_part or _num_parts(node) > 1
        result = {
            key: self._rewritten_value(key, value, f"{pointer}/{_escaped(key)}", is_combined)
            for key, value in node.items()
        }
        if isinstance(node.get("format"), str) and node["format"] not in _FORMATS:
            del result["format"]
        if "prefixItems" in node and not {"items", "unevaluatedItems"} & node.keys():
            least = node.get("minItems")
            result["items"] = isinstance(least, int) and least > len(_list(node, "prefixItems"))
        _fold_patterns(result)
        return result if is_part else self._sealed(node, result)

    def _rewritten_value(self, key: str, value: Any, pointer: str, is_combined: bool) -> Any:
        if key in _MAPS and isinstance(value, dict):
            return {
                name: self.rewritten(item, f"{pointer}/{_escaped(name)}", False)
                for name, item in value.items()
            }
        if key in _LISTS and isinstance(value, list):
            is_part = is_combined and key in _COMBINED
            return [self.rewritten(item, f"{pointer}/{at}", is_part) for at, item in enumerate(value)]
        return self.rewritten(value, pointer, False) if key in _SINGLE else value

    def _sealed(self, node: Schema, result: Schema) -> Schema:
        unevaluated = node.get("unevaluatedProperties")
        if isinstance(unevaluated, bool):
            del result["unevaluatedProperties"]
        is_combined = _num_parts(node) > 1 or _reference(node) in self._parts
        members = _Members()
        for part in self._parts_of(node, set()) if is_combined else [node]:
            members.has_properties |= "properties" in part
            members.is_open |= "additionalProperties" in part
            members.is_open |= part.get("unevaluatedProperties", False) is not False
            required = [name for name in _list(part, "required") if isinstance(name, str)]
            members.names |= dict.fromkeys([*_dict(part, "properties"), *required])
        if not members.is_open and (members.has_properties or unevaluated is False):
            own = _dict(result, "properties")
            foreign = [name for name in members.names if name not in own]
            self._num_foreign += len(foreign)
            if self._num_foreign > _MAX_FOREIGN:
                raise ValueError("what it combines has too many members")
            result["properties"] = own | dict.fromkeys(foreign, True)
            result["additionalProperties"] = False
        return result

    def _parts_of(self, node: Schema, seen: set[str]) -> Iterator[Schema]:
        """The schemas that the members of one object obey together, alternatives as if all were there.

        `seen`: references that are not followed again.
        """
        waiting: list[Any] = [node]
        while waiting:
            part = waiting.pop()
            if not isinstance(part, dict):
                continue
            yield part
            waiting += [item for key in reversed(_COMBINED) for item in reversed(_list(part, key))]
            reference = _reference(part)
            if reference and reference not in seen:
                seen.add(reference)
                waiting.append(self._resolved(reference))

    def _resolved(self, reference: str) -> Any:
        """What is not found within the schema may be open."""
        node = self._root
        for key in unquote(reference).split("/")[1:]:
            node = _dict({"": node}, "").get(key.replace("~1", "/").replace("~0", "~"))
        return node if reference.startswith("#") and node is not None else {"additionalProperties": True}


def _reference(node: Schema) -> str:
    reference = node.get("$ref")
    return reference if isinstance(reference, str) else ""


def _num_parts(node: Schema) -> int:
    """How many schemas an object must obey that obeys this one."""
    single = ("properties", "anyOf", "oneOf", "$ref", "unevaluatedProperties")
    return sum(key in node for key in single) + len(_list(node, "allOf"))


def _fold_patterns(schema: Schema) -> None:
    """llguidance takes a pattern for further members even where its names are all among the properties."""
    properties = _dict(schema, "properties")
    patterns = {**_dict(schema, "patternProperties")}
    for pattern, value in list(patterns.items()):
        match = _NAMES_ALONE.fullmatch(pattern)
        names = (match[1] or match[2]).split("|") if match else []
        if names and all(name in properties for name in names):
            del patterns[pattern]
            properties |= {name: {"allOf": [properties[name], value]} for name in names}
    if "patternProperties" in schema and properties:
        schema |= {"properties": properties, "patternProperties": patterns}
        if not patterns:
            del schema["patternProperties"]


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _dict(node: Schema, key: str) -> Schema:
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def _list(node: Schema, key: str) -> list[Any]:
    value = node.get(key)
    return value if isinstance(value, list) else []
