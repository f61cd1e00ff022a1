import shutil
import subprocess
from pathlib import Path

import pytest

from build.locked_wheels import fetch_uv, pip_settings, run_uv, uv


@pytest.mark.parametrize(
    ("listing", "settings"),
    [
        ("", {}),
        # As pip 23.2 lists them: the environment's first.
        (
            ":env:.cert='/a.crt'\nglobal.cert='/b.crt'\nglobal.index-url='http://mirror/simple'\n",
            {"cert": "/a.crt", "index-url": "http://mirror/simple"},
        ),
        ("global.extra-index-url='http://a\\nhttp://b'", {"extra-index-url": "http://a http://b"}),
        ("install.no-binary='x'\nfreeze.timeout='10'\nwords without sense", {"no-binary": "x"}),
    ],
)
def test_what_pip_is_told(listing: str, settings: dict[str, str]) -> None:
    assert pip_settings(listing) == settings


def add_uv(folder: Path, script: str) -> str:
    program = folder / "uv"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_the_machines_own_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert uv() != str(tmp_path / "uv")
    own = add_uv(tmp_path, "exit 0")
    assert uv() == own


def test_a_shim_that_runs_nothing_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shim = add_uv(tmp_path, "exit 127")
    fetched = uv()
    assert fetched != shim
    assert shutil.which(fetched)


def test_settings_of_make_lock_are_not_those_of_the_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    add_uv(tmp_path, 'echo "$PWD $*"')
    assert run_uv(["pip", "install"]).stdout == "/ pip install\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "absent", [(), ("pip",), ("pip", "venv")], ids=["pip", "venv", "the distribution's pip"]
)
def test_it_is_fetched_whatever_the_python_lacks(tmp_path: Path, absent: tuple[str, ...]) -> None:
    def runs(command: list[str]) -> bool:
        is_there = not set(absent) & set(command)
        return is_there and subprocess.run(command, capture_output=True, check=False).returncode == 0

    fetch_uv(tmp_path, runs)
    done = subprocess.run([tmp_path / "whole" / "bin" / "uv", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("uv ")
