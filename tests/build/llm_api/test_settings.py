from collections.abc import Callable
from pathlib import Path

import pytest
from contract.parameters import InvalidSettings
from llm_api_settings import read_settings

from tests.build.llm_api.conftest import Folder

Build = Callable[..., Folder]


def test_the_rendered_parameters_are_read(build: Build, checkpoint: Path) -> None:
    folder = build(tensor_parallel=2)
    settings = read_settings(folder.config, folder.model.parent)
    assert settings.checkpoint == checkpoint.resolve()
    assert settings.tokenizer == folder.path / "tokenizer"
    assert (settings.tensor_parallel, settings.vocab_size, settings.max_model_len) == (2, 260, 512)
    assert settings.kv_cache_fraction == 0.9
    assert not settings.adapters


def test_adapters_are_found_by_task_id(build: Build, adapter: Path) -> None:
    folder = build(adapters=(f"a={adapter}", f"b={adapter}"))
    settings = read_settings(folder.config, folder.model.parent)
    assert settings.adapters == {1: folder.path / "lora" / "1", 2: folder.path / "lora" / "2"}
    assert settings.max_adapter_rank == 4


BAD = [
    ("checkpoint_dir", "/nowhere"),
    ("max_num_seqs", "0"),
    ("max_num_tokens", "many"),
    ("tensor_parallel", ""),
    ("kv_cache_free_gpu_mem_fraction", "1.5"),
    ("kv_cache_free_gpu_mem_fraction", "most"),
    ("kv_cache_dtype", "int8"),
    ("unsupported_inputs", "beam_width"),
    ("lora_dir", "tokenizer"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_parameter_stops_the_load_by_name(build: Build, name: str, value: str) -> None:
    folder = build()
    with pytest.raises(InvalidSettings, match=f"^{name}: "):
        read_settings(folder.set(**{name: value}), folder.model.parent)


def test_a_missing_parameter_stops_it_too(build: Build) -> None:
    folder = build()
    config = folder.config
    del config["parameters"]["lora_dir"]
    with pytest.raises(InvalidSettings, match="lora_dir: is missing"):
        read_settings(config, folder.model.parent)
