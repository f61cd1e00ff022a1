"""The LLM API's model as it is rendered, over a double of the tensorrt_llm package."""

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from rich.console import Console
from safetensors.numpy import save_file
from tritonclient.grpc import model_config_pb2

from build.llm_api.build import LlmApiOrder, build_llm_api
from build.progress import Reporter
from tests.build.tiny_llama import tiny_config, write_hugging_face

PACKAGE = Path(__file__).parent / "package"


@pytest.fixture(scope="session", autouse=True)
def upstream_package() -> Iterator[None]:
    """Of all tests of this folder; no other imports tensorrt_llm."""
    sys.path.insert(0, str(PACKAGE))
    yield
    sys.path.remove(str(PACKAGE))


@dataclass
class Folder:
    """An engine folder of the LLM API."""

    path: Path

    @property
    def model(self) -> Path:
        return self.path / "model_repository" / "tensorrt_llm"

    @property
    def config(self) -> dict[str, Any]:
        """As Triton hands it to the model."""
        text = (self.model / "config.pbtxt").read_text()
        parsed = text_format.Parse(text, model_config_pb2.ModelConfig())
        return json_format.MessageToDict(parsed, preserving_proto_field_name=True)

    def set(self, **parameters: str) -> dict[str, Any]:
        config = self.config
        for name, value in parameters.items():
            config["parameters"][name] = {"string_value": value}
        return config


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hugging_face(tmp_path_factory.mktemp("models") / "Tiny-Llama", tiny_config())


@pytest.fixture
def build(checkpoint: Path, tmp_path: Path) -> Callable[..., Folder]:
    """Builds what the arguments change of a plain order."""

    def build(**changes: Any) -> Folder:
        plain: dict[str, Any] = {
            "model": checkpoint,
            "name": "tiny",
            "served_model_name": None,
            "tensor_parallel": 1,
            "pipeline_parallel": 1,
            "max_model_len": None,
            "max_num_seqs": 16,
            "adapters": (),
            "serving": {},
            "engines": tmp_path / "engines",
        }
        reporter = Reporter(Console(file=io.StringIO()))
        return Folder(build_llm_api(LlmApiOrder(**{**plain, **changes}), reporter))

    return build


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A LoRA adapter of rank 4 on one layer's query projection."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}')
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    weights = {
        name.format(part): np.zeros(shape, np.float16) for part, shape in (("A", (4, 64)), ("B", (64, 4)))
    }
    save_file(weights, folder / "adapter_model.safetensors")
    return folder
