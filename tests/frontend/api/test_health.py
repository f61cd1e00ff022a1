import re
from pathlib import Path

import httpx2 as httpx

from frontend.api.health import VERSION
from tests.frontend.conftest import Stack

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def test_version(http: httpx.Client) -> None:
    assert http.get("/version").json() == {"version": VERSION}


def test_version_is_that_of_the_project() -> None:
    project = r'^\[project\]\nname = ".+"\nversion = "(.+)"$'
    assert re.findall(project, PYPROJECT.read_text(), re.MULTILINE) == [VERSION]


def test_version_needs_a_key(stack: Stack) -> None:
    assert httpx.get(f"{stack.url}/version", verify=False).status_code == 401
