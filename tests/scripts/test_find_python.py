import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout without .venv, and no program of this machine but those that the script itself calls."""
    for source in ("build", "scripts"):
        (tmp_path / source).symlink_to(ROOT / source)
    for program in ("head", "sh"):
        path = next(Path(part) / program for part in os.defpath.split(":") if (Path(part) / program).exists())
        (tmp_path / program).symlink_to(path)
    return tmp_path


def add_program(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def find(folder: Path, python: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "scripts/find_python.sh"],
        cwd=folder,
        env={"PATH": str(folder), "PYTHON": python},
        capture_output=True,
        text=True,
    )


def test_the_first_that_runs_is_taken(folder: Path) -> None:
    add_program(folder, "python3", "echo 'version manager: python3: command not found' >&2; exit 127")
    add_program(folder, "python3.12", f'exec {sys.executable} "$@"')
    add_program(folder, "python3.11", "exit 1")
    assert find(folder).stdout == "python3.12\n"


def test_the_one_in_use_comes_first(folder: Path) -> None:
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    add_program(folder, "python3", f'exec {sys.executable} "$@"')
    assert find(folder).stdout == ".venv/bin/python\n"


def test_the_users_choice_is_taken_or_refused_but_never_replaced(folder: Path) -> None:
    add_program(folder, "python3", f'exec {sys.executable} "$@"')
    add_program(folder, "mine", "echo Python 3.13.0 is not 3.10, 3.11 or 3.12 >&2; exit 1")
    assert find(folder, sys.executable).stdout == f"{sys.executable}\n"
    refused = find(folder, "mine")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.count("\n") == 1
    assert "(mine: Python 3.13.0 is not 3.10, 3.11 or 3.12)" in refused.stderr


def test_a_choice_that_does_not_exist(folder: Path) -> None:
    assert "(nowhere/python: no such command)" in find(folder, "nowhere/python").stderr
