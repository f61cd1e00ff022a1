"""One live stack of each engine for all integration tests."""

from collections.abc import Iterator

import httpx2 as httpx
import openai
import pytest

from tests.fakes.clients import http_client, openai_client
from tests.integration.live_stack import API_KEY, LiveStack, served_stack


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """@pytest.mark.engines names the engines that a test runs on; without it, that is the CPU engine."""
    if "live_stack" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("engines")
        engines = marker.args if marker else ("cpu",)
        stacks = [
            pytest.param(name, marks=pytest.mark.xdist_group(f"live stack of {name}")) for name in engines
        ]
        metafunc.parametrize("live_stack", stacks, indirect=True, scope="session")


@pytest.fixture(scope="session")
def live_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveStack]:
    folder = tmp_path_factory.mktemp("serve")
    module = ("tests.integration.serve_double", str(folder)) if request.param == "double" else ()
    with served_stack(folder / "serve.log", *module) as stack:
        yield stack


@pytest.fixture(scope="session")
def triton(live_stack: LiveStack) -> str:
    return live_stack.triton


@pytest.fixture
def client(live_stack: LiveStack) -> Iterator[openai.OpenAI]:
    with openai_client(live_stack.url, API_KEY) as client:
        yield client


@pytest.fixture
def http(live_stack: LiveStack) -> Iterator[httpx.Client]:
    with http_client(live_stack.url, API_KEY, timeout=60) as client:
        yield client
