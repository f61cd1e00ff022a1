"""Adapters that can't be served are refused before anything is built; the engine gets the flags they need."""

from pathlib import Path

import numpy as np
import pytest

from build.errors import BuildError
from build.tensorrt_llm.lora import CONFIG, WEIGHTS, check_converted, read_adapters, with_adapters
from build.tensorrt_llm.recipe import find_recipe
from tests.build.tensorrt_llm.llama_folder import write_adapter


def test_adapters_are_read(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", "self_attn.q_proj", "mlp.up_proj", rank=4)
    (adapter,) = read_adapters([f"sql={folder}"])
    assert (adapter.name, adapter.path, adapter.rank) == ("sql", folder, 4)
    assert adapter.modules == {"attn_q", "mlp_gate"}


def test_engine_gets_what_all_adapters_need(tmp_path: Path) -> None:
    first = write_adapter(tmp_path / "a", "self_attn.q_proj", rank=4)
    second = write_adapter(tmp_path / "b", "self_attn.o_proj", rank=16)
    adapters = read_adapters([f"a={first}", f"b={second}"])
    recipe = with_adapters(find_recipe("llama-3.1-70b-fp8"), adapters, [])
    assert recipe.checkpoint["dtype"] == "float16"
    assert recipe.build["max_lora_rank"] == 16
    assert recipe.build["lora_target_modules"] == ["attn_dense", "attn_q"]
    assert (recipe.build["reduce_fusion"], recipe.build["user_buffer"]) == ("disable", "disable")


def test_settings_stay_as_they_are_given(tmp_path: Path) -> None:
    adapters = read_adapters([f"a={write_adapter(tmp_path / 'a', 'self_attn.q_proj')}"])
    settings = ["reduce_fusion=enable", "checkpoint.dtype=bfloat16"]
    recipe = with_adapters(find_recipe("llama-3.1-70b-fp8"), adapters, settings)
    assert (recipe.build["reduce_fusion"], recipe.build["user_buffer"]) == ("enable", "disable")
    assert recipe.checkpoint["dtype"] == "auto"


def test_without_adapters_nothing_changes() -> None:
    recipe = find_recipe("llama-3.1-8b-fp8")
    assert with_adapters(recipe, (), []) is recipe


def test_rowwise_takes_none(tmp_path: Path) -> None:
    adapters = read_adapters([f"a={write_adapter(tmp_path / 'a', 'self_attn.q_proj')}"])
    with pytest.raises(BuildError, match="documents no adapters on FP8 rowwise"):
        with_adapters(find_recipe("llama-3.1-405b-fp8-rowwise"), adapters, [])


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("{folder}", "is not of the form name=folder"),
        ("={folder}", "is not of the form name=folder"),
        ("a,b={folder}", "is not of the form name=folder"),
        ("a={folder}/nowhere", "lacks adapter_config.json"),
        ("a={folder}/pickled", "pickles are refused"),
        ("a={folder}/embedding", "changes base_model.model.model.layers.0.embed_tokens"),
        ("a={folder}/empty", "has no weights"),
        ("a={folder}/cut", "download the rest"),
    ],
)
def test_unusable_adapters_are_refused(setting: str, part: str, tmp_path: Path) -> None:
    write_adapter(tmp_path / "embedding", "embed_tokens")
    write_adapter(tmp_path / "empty")
    write_adapter(tmp_path / "pickled", "self_attn.q_proj")
    (tmp_path / "pickled" / "adapter_model.safetensors").rename(tmp_path / "pickled" / "adapter_model.bin")
    cut = write_adapter(tmp_path / "cut", "self_attn.q_proj") / "adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    with pytest.raises(BuildError) as caught:
        read_adapters([setting.format(folder=tmp_path)])
    assert part in str(caught.value)


def test_one_name_is_one_adapter(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "a", "self_attn.q_proj")
    with pytest.raises(BuildError, match="sql is given twice"):
        read_adapters([f"sql={folder}", f"sql={folder}"])


def convert(folder: Path, config: tuple[int, ...], weights: tuple[int, ...], kind: str = "float16") -> None:
    np.save(folder / CONFIG, np.arange(np.prod(config), dtype=np.int32).reshape(config))
    np.save(folder / WEIGHTS, np.zeros(weights, kind))


@pytest.mark.parametrize("columns", [3, 4])
def test_config_gets_the_columns_of_tritons_tensor(columns: int, tmp_path: Path) -> None:
    convert(tmp_path, (1, 5, columns), (1, 5, 64))
    for _ in range(2):
        check_converted(tmp_path)
        kept = np.load(tmp_path / CONFIG)
        assert kept.shape == (1, 5, 3)
        assert kept[0, 1].tolist() == [columns, columns + 1, columns + 2]


@pytest.mark.parametrize(
    ("config", "weights", "kind"),
    [
        ((1, 5, 2), (1, 5, 64), "float16"),
        ((5, 4), (1, 5, 64), "float16"),
        ((1, 5, 4), (1, 4, 64), "float16"),
        ((1, 5, 4), (1, 5, 64), "float32"),
    ],
)
def test_odd_results_are_refused(
    config: tuple[int, ...], weights: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    convert(tmp_path, config, weights, kind)
    with pytest.raises(BuildError, match=r"expected float16 \[1, rows, n\]"):
        check_converted(tmp_path)


def test_absent_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="left no adapter"):
        check_converted(tmp_path)
