"""Who may import whom."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Package -> packages of this project that it may not import.
FORBIDDEN = {
    "frontend": {"build", "scripts", "serving", "tests"},
    "model_repository": {"build", "frontend", "scripts", "serving", "tests"},
    "native": {"build", "frontend", "scripts", "serving", "tests"},
    "build": {"frontend", "scripts", "serving", "tests"},
    "serving": {"scripts", "tests"},
    "scripts": {"tests"},
}
# The same for the packages and modules of the engines in Python, which import each other by bare name.
ENGINE = {"engine", "engine_settings", "model", "requested_edits"}
ROOMS = {
    "contract": ENGINE | {"batching", "decoder", "guides", "sampling"},
    "sampling": ENGINE | {"guides"},
    "guides": ENGINE | {"batching", "decoder"},
    "decoder": ENGINE | {"guides"},
    "batching": ENGINE | {"guides"},
}
# Folders of models, which load without the rest of the project.
MODELS = ("model_repository/", "scripts/replay/tensorrt_llm/", "build/llm_api/model/")


def sources() -> list[str]:
    found = [path for package in FORBIDDEN for path in (ROOT / package).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("name", sources())
def test_no_forbidden_import(name: str) -> None:
    package = "model_repository" if name.startswith(MODELS) else name.split("/")[0]
    assert imported(ROOT / name).isdisjoint(FORBIDDEN[package])


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_the_engine_do_not_know_who_uses_them(room: str) -> None:
    folder = ROOT / "model_repository" / "tensorrt_llm" / "1" / room
    known = {path.name: imported(path) & ROOMS[room] for path in folder.glob("*.py")}
    assert {name: names for name, names in known.items() if names} == {}


def test_modules_of_the_models_have_names_of_their_own() -> None:
    """The version folders are on one path in the tests; under Triton each model sees its own."""
    names = [name.partition("/1/")[2] for name in sources() if name.startswith(MODELS)]
    shared = {name for name in names if names.count(name) > 1}
    assert shared <= {"model.py"}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_source_under_build_is_not_ignored() -> None:
    ignored = subprocess.run(["git", "check-ignore", "-q", "build/example.py"], cwd=ROOT, check=False)
    assert ignored.returncode == 1
