"""The real application in front of the fake Triton, for commands that are its clients."""

from collections.abc import Iterator

import pytest

from tests.frontend.conftest import API_KEY, Stack, serving


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with serving(api_keys=(API_KEY,)) as stack:
        yield stack
