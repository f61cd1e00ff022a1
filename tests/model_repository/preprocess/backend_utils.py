"""A stand-in for triton_python_backend_utils, and the committed models loaded with it."""

import importlib.util
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2

MODEL_REPOSITORY = Path(__file__).parents[3] / "model_repository"


class TritonError:
    INTERNAL, INVALID_ARG = "INTERNAL", "INVALID_ARG"

    def __init__(self, message: str, code: str = INTERNAL) -> None:
        self.message = message
        self.code = code


class Logger:
    lines: ClassVar[list[str]] = []

    @classmethod
    def log_error(cls, line: str) -> None:
        cls.lines.append(line)


class Tensor:
    def __init__(self, name: str, value: NDArray[Any]) -> None:
        self._name = name
        self._value = value

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        return self._value


@dataclass
class InferenceResponse:
    output_tensors: list[Tensor] = field(default_factory=list)
    error: TritonError | None = None

    def outputs(self) -> dict[str, NDArray[Any]]:
        assert self.error is None, self.error.message
        return {tensor.name(): tensor.as_numpy() for tensor in self.output_tensors}


@dataclass
class Request:
    tensors: dict[str, NDArray[Any]]
    wanted: list[str] = field(default_factory=list)

    def request_id(self) -> str:
        return "request-1"

    def inputs(self) -> list[Tensor]:
        return [Tensor(*item) for item in self.tensors.items()]

    def requested_output_names(self) -> list[str]:
        return self.wanted


def load_model(monkeypatch: pytest.MonkeyPatch, name: str, models_folder: Path, **parameters: str) -> Any:
    """The TritonPythonModel of the model `name`, parameters of its config replaced."""
    module = ModuleType("triton_python_backend_utils")
    for part in (TritonError, Logger, Tensor, InferenceResponse):
        setattr(module, part.__name__, part)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    monkeypatch.setattr(Logger, "lines", [])
    spec = importlib.util.spec_from_file_location(f"{name}_model", MODEL_REPOSITORY / name / "1" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    model_module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model_module)
    model = model_module.TritonPythonModel()
    config = text_format.Parse(
        (MODEL_REPOSITORY / name / "config.pbtxt").read_text("utf-8"), model_config_pb2.ModelConfig()
    )
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    text = json.dumps(json_format.MessageToDict(config, preserving_proto_field_name=True))
    model.initialize({"model_config": text, "model_repository": str(models_folder / name)})
    return model


def byte_strings(*values: bytes) -> NDArray[Any]:
    return np.array([values], dtype=object)
