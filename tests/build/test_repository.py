"""The rendered repository is the committed one with this engine's parameters."""

from dataclasses import replace
from pathlib import Path

import pytest

from build.checkpoint.gguf import GgufCheckpoint
from build.checkpoint.gguf_tokenizer import from_gguf
from build.checkpoint.source import find_source
from build.checkpoint.tokenizer import TokenizerFacts
from build.errors import BuildError
from build.manifest import Limits, Manifest, tree_files
from build.repository import (
    COMMITTED,
    CONFIG,
    format_ranges,
    read_config,
    render_repository,
    render_tensorrt_llm_repository,
)
from build.tensorrt_llm.config import TOKENIZER_INFO
from build.tensorrt_llm.engine import read_tensorrt_llm_engine
from tests.build.compiled_engine import engine_config, write_compiled_engine
from tests.build.test_manifest import MANIFEST

MODELS = ("ensemble", "postprocess", "preprocess", "tensorrt_llm")


def default_manifest(tmp_path: Path) -> Manifest:
    source = find_source(None)
    checkpoint = GgufCheckpoint(source.path)
    return replace(
        MANIFEST,
        limits=Limits(checkpoint.config.max_model_len, checkpoint.config.vocab_size),
        tokenizer=from_gguf(checkpoint.reader, tmp_path / "tokenizer"),
        served_model_name=source.served_model_name,
    )


def test_default_engine_gives_the_committed_configs(tmp_path: Path) -> None:
    """The committed parameters are the default engine's; the way to its folder differs, and what runs it."""
    render_repository(default_manifest(tmp_path), tmp_path / "models")
    for model in MODELS:
        committed = read_config(COMMITTED / model / CONFIG)
        rendered = read_config(tmp_path / "models" / model / CONFIG)
        if model == "tensorrt_llm":
            assert (committed.backend, rendered.backend) == ("python", "engine_process")
            committed.backend = rendered.backend
        if "engine_dir" in committed.parameters:
            assert rendered.parameters["engine_dir"].string_value == ".."
            assert committed.parameters["engine_dir"].string_value == f"../engines/{find_source(None).name}"
            del committed.parameters["engine_dir"], rendered.parameters["engine_dir"]
        assert rendered == committed


def test_other_engine_changes_the_parameters(tmp_path: Path) -> None:
    facts = TokenizerFacts(128256, 128009, (128001, 128008), tuple(range(128000, 128256)))
    manifest = replace(MANIFEST, limits=Limits(131072, 128256), tokenizer=facts, served_model_name="Llama")
    render_repository(manifest, tmp_path)
    found = {
        name: value.string_value
        for model in MODELS
        for name, value in read_config(tmp_path / model / CONFIG).parameters.items()
    }
    assert found["max_model_len"] == "131072"
    assert found["end_id"] == "128009"
    assert found["stop_ids"] == "128001,128008"
    assert found["special_ids"] == "128000-128255"
    assert found["vocab_size"] == "128256"
    assert found["served_model_name"] == "Llama"


def test_code_is_copied_as_it_is(tmp_path: Path) -> None:
    render_repository(MANIFEST, tmp_path)
    committed = COMMITTED / "preprocess" / "1" / "model.py"
    assert (tmp_path / "preprocess" / "1" / "model.py").read_bytes() == committed.read_bytes()
    assert (tmp_path / "ensemble" / "1").is_dir()
    assert not list(tmp_path.rglob("__pycache__"))


def test_parameter_that_no_model_declares_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "committed" / "model").mkdir(parents=True)
    (tmp_path / "committed" / "model" / CONFIG).write_text('name: "model"')
    with pytest.raises(BuildError, match=r"No model in .* declares the parameter end_id"):
        render_repository(MANIFEST, tmp_path / "models", tmp_path / "committed")


def test_broken_config_is_an_error(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text("name = 5")
    with pytest.raises(BuildError, match="is not a model configuration"):
        read_config(tmp_path / CONFIG)


@pytest.mark.parametrize(
    ("ids", "text"),
    [((), ""), ((4,), "4"), ((0, 1, 2, 7), "0-2,7"), ((9, 3, 4), "3-4,9")],
)
def test_ids_are_written_as_ranges(ids: tuple[int, ...], text: str) -> None:
    assert format_ranges(ids) == text


def render_compiled(folder: Path, adapters: dict[str, int] | None = None, **build: object) -> Path:
    engine = read_tensorrt_llm_engine(write_compiled_engine(folder / "engine", engine_config(**build)))
    target = folder / "model_repository"
    render_tensorrt_llm_repository(MANIFEST, engine, target, adapters=adapters or {}, overrides={})
    return target


def test_compiled_engine_shares_all_models_but_its_own(tmp_path: Path) -> None:
    target = render_compiled(tmp_path)
    for model in ("ensemble", "postprocess", "preprocess"):
        committed = [path.relative_to(COMMITTED / model) for path in tree_files(COMMITTED / model)]
        assert [path.relative_to(target / model) for path in tree_files(target / model)] == committed
    assert {path.name for path in (target / "tensorrt_llm").rglob("*")} == {"1", CONFIG}
    assert (target / "tensorrt_llm" / "1").is_dir()


def test_compiled_engine_sets_the_window_everywhere(tmp_path: Path) -> None:
    target = render_compiled(tmp_path, max_seq_len=4096)
    for model in ("preprocess", "tensorrt_llm"):
        config = read_config(target / model / CONFIG)
        assert config.parameters["max_model_len"].string_value == "4096"


def test_guides_are_on_when_the_tokenizer_info_is_there(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / TOKENIZER_INFO).touch()
    target = render_compiled(tmp_path)
    config = read_config(target / "tensorrt_llm" / CONFIG)
    assert config.parameters["guided_decoding_backend"].string_value == "xgrammar"
    preprocess = read_config(target / "preprocess" / CONFIG)
    assert preprocess.parameters["guide_check"].string_value == "xgrammar"


def test_adapters_are_named_by_the_ensemble_and_loaded_by_the_engine(tmp_path: Path) -> None:
    plugins = {"lora_plugin": "bfloat16", "use_paged_context_fmha": True, "tokens_per_block": 32}
    target = render_compiled(tmp_path, adapters={"sql": 1, "legal": 2}, plugin_config=plugins)
    ensemble, engine = (read_config(target / model / CONFIG) for model in ("ensemble", "tensorrt_llm"))
    assert ensemble.parameters["lora_adapters"].string_value == "sql=1,legal=2"
    assert engine.parameters["lora_prefetch_dir"].string_value == "lora"


def test_adapters_need_an_engine_built_for_them(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="--lora_plugin"):
        render_compiled(tmp_path, adapters={"sql": 1})
