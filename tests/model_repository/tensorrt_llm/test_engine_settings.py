import json
from pathlib import Path
from typing import Any

import pytest
from contract.parameters import InvalidSettings
from engine_settings import UNSUPPORTED_INPUTS, EngineSettings, read_settings
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

CONFIG = Path(__file__).parents[3] / "model_repository" / "tensorrt_llm" / "config.pbtxt"
# Inputs that need no code: one sequence a request has no padding.
UNREAD_INPUTS = {"input_lengths", "pad_id"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    engine = tmp_path / "engines" / "smollm2-135m-instruct" / "engine"
    engine.mkdir(parents=True)
    (engine / "openvino_model.xml").touch()
    return tmp_path / "models"


@pytest.fixture(scope="module")
def committed() -> Any:
    config = text_format.Parse(CONFIG.read_text(), model_config_pb2.ModelConfig())
    return json.loads(json_format.MessageToJson(config, preserving_proto_field_name=True))


def with_parameter(config: Any, name: str, text: str) -> Any:
    return config | {"parameters": config["parameters"] | {name: {"string_value": text}}}


def test_the_committed_parameters(committed: Any, models: Path) -> None:
    folder = (models.parent / "engines" / "smollm2-135m-instruct").resolve()
    assert read_settings(committed, models) == EngineSettings(
        engine=folder / "engine",
        tokenizer=folder / "tokenizer" / "tokenizer.json",
        vocab_size=49152,
        max_model_len=8192,
        max_num_seqs=64,
        max_num_tokens=512,
        max_kv_tokens=131072,
        max_draft_len=5,
    )


def test_every_input_is_read_or_refused(committed: Any) -> None:
    modules = (CONFIG.parent / "1").rglob("*.py")
    sources = "".join(module.read_text() for module in modules)
    names = {tensor["name"] for tensor in committed["input"]}
    assert names >= UNSUPPORTED_INPUTS | UNREAD_INPUTS
    assert all(f'"{name}"' in sources for name in names - UNREAD_INPUTS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_model_len", "0"),
        ("max_model_len", "many"),
        ("max_num_seqs", "-1"),
        ("max_num_tokens", "1.5"),
        ("max_draft_len", "-1"),
        ("tokens_per_block", "64"),
        ("max_tokens_in_paged_kv_cache", ""),
        ("max_tokens_in_paged_kv_cache", "8191"),
        ("unsupported_inputs", "beam_width"),
        ("engine_dir", "../engines/other"),
    ],
)
def test_a_bad_parameter_is_named(committed: Any, models: Path, name: str, text: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        read_settings(with_parameter(committed, name, text), models)
    assert str(caught.value).startswith(f"{name}: ")


@pytest.mark.parametrize(
    "name",
    [
        "engine_dir",
        "max_model_len",
        "max_num_seqs",
        "max_num_tokens",
        "max_draft_len",
        "max_tokens_in_paged_kv_cache",
    ],
)
def test_a_missing_parameter_is_named(committed: Any, models: Path, name: str) -> None:
    parameters = {key: value for key, value in committed["parameters"].items() if key != name}
    with pytest.raises(InvalidSettings, match=name):
        read_settings(committed | {"parameters": parameters}, models)
