"""Everything that serving must know is read from a compiled engine's config.json."""

from pathlib import Path
from typing import Any

import pytest

from build.errors import BuildError
from build.tensorrt_llm.engine import read_tensorrt_llm_engine
from tests.build.compiled_engine import NEWER, OLDER, engine_config, write_compiled_engine


def test_sizes_ranks_and_nodes(tmp_path: Path) -> None:
    engine = read_tensorrt_llm_engine(write_compiled_engine(tmp_path / "engine", engine_config(tp=8, pp=2)))
    assert (engine.world_size, engine.num_nodes, engine.gpus_per_node) == (16, 2, 8)
    assert (engine.max_batch_size, engine.max_num_tokens, engine.max_seq_len) == (256, 4096, 8192)
    assert (engine.version, engine.vocab_size) == ("1.2.1", 128256)
    assert engine.has_paged_context
    assert not engine.has_lora


@pytest.mark.parametrize("spelling", [NEWER, OLDER])
def test_both_spellings_of_upstream_are_read(tmp_path: Path, spelling: str) -> None:
    engine = read_tensorrt_llm_engine(
        write_compiled_engine(tmp_path / "engine", engine_config(spelling=spelling))
    )
    assert engine.has_paged_kv_cache
    assert engine.has_paged_context


@pytest.mark.parametrize(
    ("changes", "is_paged"),
    [
        ({"kv_cache_type": "KVCacheType.PAGED"}, True),
        ({"kv_cache_type": "continuous"}, False),
        ({"kv_cache_type": "DISABLED"}, False),
        ({"kv_cache_type": None}, True),
    ],
)
def test_kinds_of_kv_cache(tmp_path: Path, changes: dict[str, Any], is_paged: bool) -> None:
    engine = read_tensorrt_llm_engine(write_compiled_engine(tmp_path / "engine", engine_config(**changes)))
    assert engine.has_paged_kv_cache == is_paged


def test_flags_in_words_are_read(tmp_path: Path) -> None:
    plugins = {"use_paged_context_fmha": "enable", "lora_plugin": "disable", "tokens_per_block": 64}
    config = engine_config(plugin_config=plugins, gather_context_logits=1)
    engine = read_tensorrt_llm_engine(write_compiled_engine(tmp_path / "engine", config))
    assert (engine.has_paged_context, engine.has_lora, engine.gathers_context_logits) == (True, False, True)


def without(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    part = config
    for key in keys[:-1]:
        part = part[key]
    del part[keys[-1]]
    return config


def with_mapping(**values: object) -> dict[str, Any]:
    config = engine_config()
    config["pretrained_config"]["mapping"].update(values)
    return config


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (without(engine_config(), "version"), "version"),
        (without(engine_config(), "build_config", "max_seq_len"), "max_seq_len"),
        (without(engine_config(), "pretrained_config", "mapping"), "mapping"),
        (engine_config(max_batch_size=0), "max_batch_size is 0"),
        (engine_config(max_seq_len="8192"), "max_seq_len is '8192'"),
        (engine_config(plugin_config=None), "plugin_config|NoneType"),
        (engine_config(kv_cache_type="ring"), "kv_cache_type is 'ring', known are paged, continuous"),
        (engine_config(gather_context_logits="maybe"), "gather_context_logits is 'maybe'"),
        (with_mapping(cp_size=2), "context parallelism"),
        (with_mapping(gpus_per_node=None), "gpus_per_node is None"),
    ],
)
def test_config_of_another_form_is_an_error(tmp_path: Path, config: dict[str, Any], complaint: str) -> None:
    folder = write_compiled_engine(tmp_path / "engine", config)
    with pytest.raises(BuildError, match=f"not as trtllm-build 1.2.1 writes it.*{complaint}"):
        read_tensorrt_llm_engine(folder)


def test_missing_rank_is_an_error(tmp_path: Path) -> None:
    folder = write_compiled_engine(tmp_path / "engine", engine_config(tp=4))
    (folder / "rank3.engine").unlink()
    with pytest.raises(BuildError, match=r"lacks rank3\.engine: an engine of 4 ranks"):
        read_tensorrt_llm_engine(folder)


def test_folder_of_something_else_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="is no TensorRT-LLM engine"):
        read_tensorrt_llm_engine(tmp_path)
