"""Preprocessors with Meta's vocabulary, converted once a session, and with a tiny one."""

from pathlib import Path

import pytest
from preprocessor import Preprocessor, load_preprocessor
from prompt_tokenizer import PromptTokenizer

from tests.model_repository.preprocess.tiny_tokenizer import END_ID, write_tiny_engine

LLAMA_PARAMETERS = {
    "engine_dir": "llama",
    "max_model_len": "131072",
    "end_id": "128009",
    "stop_ids": "128001,128008",
    "today_date": "26 Jul 2024",
    "guide_check": "engine",
    "logits_size": "128256",
}


@pytest.fixture(scope="session")
def llama(llama_models_folder: Path) -> Preprocessor:
    return load_preprocessor(LLAMA_PARAMETERS, llama_models_folder)


@pytest.fixture(scope="session")
def llama_tokenizer(llama_models_folder: Path) -> PromptTokenizer:
    return PromptTokenizer(llama_models_folder / "llama" / "tokenizer" / "tokenizer.json")


@pytest.fixture
def tiny_parameters(tmp_path: Path) -> dict[str, str]:
    write_tiny_engine(tmp_path / "tiny")
    return {
        "engine_dir": "tiny",
        "max_model_len": "64",
        "end_id": str(END_ID),
        "stop_ids": "0",
        "today_date": "26 Jul 2024",
        "guide_check": "engine",
        "logits_size": "3",
    }


@pytest.fixture
def tiny(tiny_parameters: dict[str, str], tmp_path: Path) -> Preprocessor:
    return load_preprocessor(tiny_parameters, tmp_path)
