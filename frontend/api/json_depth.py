"""How deep a JSON value is nested."""

from collections.abc import Collection


def json_depth(value: object) -> int:
    """Levels of nesting, counted without recursion; 0 for a value that holds no other."""
    if not isinstance(value, dict | list):
        return 0
    depth = 0
    level: list[dict[str, object] | list[object]] = [value] if value else []
    while level:
        depth += 1
        level = [
            item for parent in level for item in _items(parent) if item and isinstance(item, dict | list)
        ]
    return depth


def _items(parent: dict[str, object] | list[object]) -> Collection[object]:
    return parent.values() if isinstance(parent, dict) else parent
