from pathlib import Path

import pytest
from chunk_decoder import ChunkDecoder
from postprocess_settings import load_token_bytes
from prompt_tokenizer import PromptTokenizer
from token_bytes import TokenBytes


@pytest.fixture(scope="session")
def llama_bytes(llama_models_folder: Path) -> TokenBytes:
    parameters = {"engine_dir": "llama", "special_ids": "128000-128255", "vocab_size": "128256"}
    return load_token_bytes(parameters, llama_models_folder)


@pytest.fixture(scope="session")
def decoder(llama_bytes: TokenBytes) -> ChunkDecoder:
    return ChunkDecoder(llama_bytes)


@pytest.fixture(scope="session")
def tokenizer(llama_models_folder: Path) -> PromptTokenizer:
    return PromptTokenizer(llama_models_folder / "llama" / "tokenizer" / "tokenizer.json")
