"""Meta's vocabulary and formatter, made once a session; how tests are generated and shared out."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from frontend.settings_file import VARIABLE
from tests.build.llama3_tokenizer import from_tiktoken
from tests.fuzzing import register_profiles
from tests.model_repository.preprocess.reference import TOKENIZER_MODEL, Reference

# What waits for servers, first: the other processes work meanwhile.
FIRST = tuple(str(Path(__file__).parent / room) for room in ("integration", "scripts/soak", "faults"))

register_profiles()
# A developer's own settings are none of the tests'.
os.environ[VARIABLE] = os.devnull
# A shell's background job ignores it, and so would all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Before xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With --dist loadgroup a file's tests run in one process, so that what they share is made once."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
    items.sort(key=lambda item: not str(item.path).startswith(FIRST))


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    """A variable that a test leaves behind changes those after it, which others are in each process."""
    before = dict(os.environ)
    yield
    left = set(before.items()) ^ set(os.environ.items())
    # pytest's own, of the test's phase.
    assert {name for name, _ in left} <= {"PYTEST_CURRENT_TEST"}


@pytest.fixture(scope="session")
def llama_models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    from_tiktoken(TOKENIZER_MODEL, folder / "llama" / "tokenizer")
    return folder


@pytest.fixture(scope="session")
def reference() -> Reference:
    return Reference()
