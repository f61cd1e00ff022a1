"""How deep a JSON value is nested."""


def json_depth(value: object) -> int:
    """Levels of nesting, counted without recursion; 0 for a value that holds no other."""
    depth = 0
    level = [value]
    while level := [item for parent in level for item in _children(parent)]:
        depth += 1
    return depth


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
