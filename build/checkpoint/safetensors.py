"""Reads a Hugging Face folder of Llama architecture."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from build.checkpoint.checkpoint import OUTPUT, LlamaConfig, check_shapes, finite, head_size_of
from build.checkpoint.rope import inverse_frequencies, scale_by_config
from build.checkpoint.source import read_object
from build.errors import BuildError

# Older exports store the rotary frequencies, which follow from config.json.
_FREQUENCIES_SUFFIX = ".rotary_emb.inv_freq"

_REQUIRED_VALUES = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "partial_rotary_factor": 1.0,
    "quantization_config": None,
}


class SafetensorsCheckpoint:
    """Reads tensors one at a time from mapped files; raises BuildError when they are not a Llama."""

    def __init__(self, config_path: Path, weight_paths: list[Path]) -> None:
        self.config = read_config(config_path)
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}
        for path in weight_paths:
            self._open(path)
        ignored = {name for name in self._files if name.endswith(_FREQUENCIES_SUFFIX)} | {OUTPUT}
        check_shapes(self.config, self._shapes(), ignored)

    def tensor(self, name: str) -> NDArray[np.float32]:
        return finite(name, np.asarray(self._files[name].get_tensor(name).astype(np.float32)))

    def _open(self, path: Path) -> None:
        try:
            file = self._stack.enter_context(safe_open(path, framework="np"))
        except SafetensorError as error:
            raise BuildError(f"{path} is damaged or not a safetensors file: {error}.") from error
        for name in file.keys():  # noqa: SIM118 - the file is no mapping
            kind = file.get_slice(name).get_dtype()
            if kind not in ("F32", "F16", "BF16"):
                raise BuildError(f"{path}: {name} is {kind}; weights must be F32, F16 or BF16.")
            if name in self._files:
                raise BuildError(f"{path}: {name} is in another file of the model too.")
            self._files[name] = file

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(file.get_slice(name).get_shape()) for name, file in self._files.items()}


def read_config(path: Path) -> LlamaConfig:
    """Reads config.json in the forms of transformers 4 and 5."""
    values = read_object(path)
    for key, required in _REQUIRED_VALUES.items():
        if values.get(key, required) != required:
            raise BuildError(f"{path}: {key} is {values[key]!r}, only {required!r} is supported.")
    try:
        return _config(values)
    except KeyError as missing:
        raise BuildError(f"{path} lacks {missing}.") from missing
    except (AttributeError, TypeError, ValueError) as error:
        raise BuildError(f"{path} has a value of the wrong type: {error}.") from error


def _config(values: Mapping[str, Any]) -> LlamaConfig:
    heads, hidden = int(values["num_attention_heads"]), int(values["hidden_size"])
    head_size = int(values.get("head_dim") or head_size_of(hidden, heads))
    return LlamaConfig(
        num_layers=int(values["num_hidden_layers"]),
        hidden_size=hidden,
        intermediate_size=int(values["intermediate_size"]),
        num_heads=heads,
        num_kv_heads=int(values.get("num_key_value_heads") or heads),
        head_size=head_size,
        vocab_size=int(values["vocab_size"]),
        max_model_len=int(values["max_position_embeddings"]),
        norm_epsilon=float(values["rms_norm_eps"]),
        rope_frequencies=tuple(_rope_frequencies(values, head_size)),
        is_tied=bool(values.get("tie_word_embeddings", False)),
    )


def _rope_frequencies(values: Mapping[str, Any], head_size: int) -> list[float]:
    rope = values.get("rope_parameters") or {}
    if rope.get("partial_rotary_factor", 1.0) != 1.0 or any(
        isinstance(value, dict) for value in rope.values()
    ):
        raise BuildError("config.json: rope_parameters must be the same for all dimensions and layers.")
    theta = float(rope.get("rope_theta", values.get("rope_theta", 10000.0)))
    scaling = values.get("rope_scaling") or rope or None
    return [float(f) for f in scale_by_config(inverse_frequencies(theta, head_size), scaling)]
