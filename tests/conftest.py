"""Meta's vocabulary, converted once a session, Meta's own formatter, and how generated tests run."""

import os
import signal
from pathlib import Path

import pytest

from build.checkpoint.tokenizer import from_tiktoken
from frontend.settings_file import VARIABLE
from tests.fuzzing import register_profiles
from tests.model_repository.preprocess.reference import TOKENIZER_MODEL, Reference

register_profiles()
# A developer's own settings are none of the tests'.
os.environ[VARIABLE] = os.devnull
# A shell's background job ignores it, and so would all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def llama_models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    from_tiktoken(TOKENIZER_MODEL, folder / "llama" / "tokenizer")
    return folder


@pytest.fixture(scope="session")
def reference() -> Reference:
    return Reference()
