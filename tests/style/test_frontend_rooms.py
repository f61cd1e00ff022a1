"""The rooms of frontend/: who may import whom, in one direction."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FRONTEND = ROOT / "frontend"
# From the top down: a room imports what stands below it, and never what stands beside it or above.
FLOORS = (
    ("__main__",),
    ("app",),
    ("server", "api", "page", "middleware"),
    ("limits",),
    ("metrics",),
    ("generation",),
    ("triton",),
    ("grpc_client",),
    ("keys", "settings", "settings_file", "errors", "logs", "addresses", "writer"),
)
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}
GROUND = len(FLOORS) - 1


def room_of(module: str) -> str:
    """`frontend.api.chat.routes` -> api."""
    return module.split(".")[1]


def imports() -> list[tuple[str, str]]:
    """File -> the module of frontend/ that it imports."""
    found = []
    for path in sorted(FRONTEND.rglob("*.py")):
        nodes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
        modules = (node.module for node in nodes if node.module and node.module.startswith("frontend."))
        found += [(str(path.relative_to(ROOT)), module) for module in modules]
    return found


@pytest.mark.parametrize(("file", "module"), imports())
def test_imports_lead_down(file: str, module: str) -> None:
    importer = room_of(file.removesuffix(".py").replace("/", "."))
    imported = room_of(module)
    if importer != imported:
        above, below = FLOOR_OF[importer], FLOOR_OF[imported]
        # What stands on the ground is small and plain, and leans on each other.
        is_allowed = above < below or above == below == GROUND
        rule = f"{importer}/ may import only what stands below it in FLOORS, and {imported}/ does not"
        assert is_allowed, f"{file} imports {module}: {rule}"


def test_every_room_stands_on_a_floor() -> None:
    packages = {path.parent.name for path in FRONTEND.glob("*/__init__.py")}
    modules = {path.stem for path in FRONTEND.glob("*.py")}
    assert (packages | modules) - {"__init__"} == FLOOR_OF.keys()


@pytest.mark.parametrize("path", sorted(FRONTEND.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_a_package_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
