"""docs/reliability.md has a table of bad input and faults: each row has tests, those that it names."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "reliability.md"
NUM_ROWS = 54


def rows_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """The numbers in `@pytest.mark.row(...)`."""
    return {
        argument.value
        for mark in function.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.row"
        for argument in mark.args
        if isinstance(argument, ast.Constant)
    }


@functools.cache
def files_of_rows() -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for row in rows_of(node):
                    found.setdefault(row, set()).add(str(path.relative_to(ROOT)))
    return found


@functools.cache
def documented_files() -> dict[int, set[str]]:
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return {int(number): set(re.findall(r"`(tests/[^`]+)`", files)) for number, files in rows}


@pytest.mark.parametrize("row", range(1, NUM_ROWS + 1))
def test_every_row_has_the_tests_that_are_documented(row: int) -> None:
    files = files_of_rows().get(row)
    assert files, "no test is marked with this row"
    assert documented_files()[row] == files


def test_there_are_no_other_rows() -> None:
    assert set(files_of_rows()) | set(documented_files()) == set(range(1, NUM_ROWS + 1))


def test_every_test_that_the_promises_name_is_there() -> None:
    for name in re.findall(r"`(tests/[\w/]+\.py)`", DOCUMENT.read_text()):
        assert (ROOT / name).is_file(), name
