"""Hugging Face folders: every dtype, both forms of config.json, and a sentence for what isn't a Llama."""

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from build.checkpoint.safetensors import SafetensorsCheckpoint, read_config
from build.errors import BuildError
from tests.build.tiny_llama import (
    LLAMA3_SCALING,
    rope_frequencies,
    tiny_config,
    tiny_tensors,
    write_hugging_face,
)


def open_folder(folder: Path) -> SafetensorsCheckpoint:
    return SafetensorsCheckpoint(folder / "config.json", sorted(folder.glob("*.safetensors")))


def edit_tensors(folder: Path, changes: dict[str, Any]) -> None:
    """Sets tensors, or drops those that are None."""
    path = folder / "model.safetensors"
    tensors = load_file(path) | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)


@pytest.mark.parametrize("kind", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_tensors_are_read_as_float32(kind: Any, tmp_path: Path) -> None:
    config = tiny_config()
    checkpoint = open_folder(write_hugging_face(tmp_path / "m", config, kind))
    for name, expected in tiny_tensors(config).items():
        found = checkpoint.tensor(name)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_shards_are_one_model(tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "m", tiny_config(), np.float32)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    for number, part in enumerate((names[:7], names[7:])):
        save_file({name: tensors[name] for name in part}, folder / f"part{number}.safetensors")
    (folder / "model.safetensors").unlink()
    assert open_folder(folder).tensor(names[-1]).shape == tensors[names[-1]].shape


def test_both_forms_of_rope_are_read(tmp_path: Path) -> None:
    older = tiny_config(rope_theta=500000.0, rope_scaling=LLAMA3_SCALING)
    newer = tiny_config(rope_parameters=LLAMA3_SCALING | {"rope_theta": 500000.0})
    del newer["rope_theta"]
    for number, config in enumerate((older, newer)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(config))
        np.testing.assert_allclose(read_config(path).rope_frequencies, rope_frequencies(older), rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model_type": "mistral"}, "model_type is 'mistral', only 'llama' is supported"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config is"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2}}, "type 'dynamic' is not supported"),
        ({"rope_scaling": "llama3"}, "has a value of the wrong type"),
        ({"rope_scaling": {"factor": 2.0}}, "type None is not supported"),
        ({"rope_scaling": {"rope_type": "linear", "factor": -2.0}}, "factor must be above 0, not -2.0"),
        ({"rope_scaling": LLAMA3_SCALING | {"factor": 0}}, "factor must be above 0, not 0"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "same for all dimensions and layers"),
        ({"rope_parameters": {"full_attention": {}}}, "same for all dimensions and layers"),
        ({"hidden_size": "wide"}, "has a value of the wrong type"),
        ({"hidden_size": None}, "has a value of the wrong type"),
        ({"num_hidden_layers": -1}, "num_layers must be above 0, not -1"),
        ({"num_attention_heads": 3}, "64 is no multiple of its 3 heads"),
        ({"rms_norm_eps": float("inf")}, "must be finite"),
    ],
)
def test_bad_config_is_refused(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tiny_config(**changes)))
    with pytest.raises(BuildError, match=sentence):
        read_config(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"model_type": "llama"}', "lacks 'num_attention_heads'"),
    ],
)
def test_config_that_is_no_config_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(BuildError, match=sentence):
        read_config(path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model.norm.weight": None}, "lacks the tensor model.norm.weight"),
        ({"model.norm.weight": np.ones(3, np.float32)}, r"has shape \(3,\), expected \(64,\)"),
        ({"model.layers.0.self_attn.q_proj.bias": np.ones(64, np.float32)}, "a tensor that a Llama has not"),
        ({"model.norm.weight": np.ones(64, np.int8)}, "is I8; weights must be F32, F16 or BF16"),
    ],
)
def test_unfit_tensors_are_refused(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "m", tiny_config(), np.float32)
    edit_tensors(folder, changes)
    with pytest.raises(BuildError, match=sentence):
        open_folder(folder)


def test_stored_frequencies_and_a_tied_output_are_ignored(tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "m", tiny_config(), np.float32)
    output = tiny_tensors(tiny_config())["model.embed_tokens.weight"]
    frequencies = {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32)}
    edit_tensors(folder, frequencies | {"lm_head.weight": output})
    assert open_folder(folder).config.is_tied


def test_a_weight_that_is_no_number_is_told(tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "m", tiny_config(), np.float32)
    edit_tensors(folder, {"model.norm.weight": np.full(64, np.nan, np.float32)})
    with pytest.raises(BuildError, match=r"model.norm.weight has values that are no finite numbers"):
        open_folder(folder).tensor("model.norm.weight")


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "m", tiny_config(), np.float32)
    save_file({"model.norm.weight": np.ones(64, np.float32)}, folder / "older.safetensors")
    with pytest.raises(BuildError, match=r"model\.norm\.weight is in another file"):
        open_folder(folder)


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "m", tiny_config())
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BuildError, match="is damaged or not a safetensors file"):
        open_folder(folder)
