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


def test_health_is_whether_it_is_ready_and_needs_no_key(stack: Stack) -> None:
    for path in ("/health", "/health/ready"):
        assert httpx.get(f"{stack.url}{path}", verify=False).json() == {"status": "ready"}
    stack.fake.is_ready = False
    assert httpx.get(f"{stack.url}/health", verify=False).status_code == 503
