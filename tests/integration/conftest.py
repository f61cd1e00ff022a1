"""One live stack for all integration tests."""

from collections.abc import Iterator

import httpx2 as httpx
import openai
import pytest

from tests.integration.live_stack import API_KEY, LiveStack, served_stack


@pytest.fixture(scope="session")
def live_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    with served_stack(tmp_path_factory.mktemp("serve") / "serve.log") as stack:
        yield stack


@pytest.fixture(scope="session")
def triton(live_stack: LiveStack) -> str:
    return live_stack.triton


@pytest.fixture
def client(live_stack: LiveStack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live_stack.url}/v1", api_key=API_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def http(live_stack: LiveStack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=live_stack.url, headers=headers, timeout=60) as client:
        yield client
