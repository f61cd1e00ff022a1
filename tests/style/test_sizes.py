"""The code stays small: files that fit in the head, functions on a screen, folders in a glance."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("build", "native", "serving", "frontend", "model_repository", "scripts")
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_FOLDER_FILES = 15
SUFFIXES = {".py", ".c", ".h"}


def sources() -> list[str]:
    found = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


@pytest.mark.parametrize("name", sources())
def test_file_and_its_functions_are_small(name: str) -> None:
    text = (ROOT / name).read_text()
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, f"{name}: {node.name}"


def folder_sizes() -> Counter[str]:
    """Folder -> number of source files in it."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.suffix in SUFFIXES)
    return Counter(str(path.parent.relative_to(ROOT)) for path in found)


@pytest.mark.parametrize(("folder", "num_files"), sorted(folder_sizes().items()))
def test_folder_is_seen_at_a_glance(folder: str, num_files: int) -> None:
    assert num_files <= MAX_FOLDER_FILES, folder
