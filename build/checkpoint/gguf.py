"""Reads a GGUF file of Llama architecture."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from build.checkpoint.checkpoint import (
    EMBEDDING,
    FINAL_NORM,
    OUTPUT,
    LlamaConfig,
    check_shapes,
    finite,
    head_size_of,
    layer_tensor,
    tensor_shapes,
)
from build.checkpoint.rope import inverse_frequencies
from build.errors import BuildError

ROPE_FACTORS = "rope_freqs.weight"

# What would change the arithmetic of a Llama.
_REQUIRED_VALUES = {
    "llama.expert_count": 0,
    "llama.attention.causal": True,
    "llama.attention.scale": 0.0,
    "llama.rope.scaling.attn_factor": 1.0,
}

_MODEL_NAMES = {EMBEDDING: "token_embd.weight", FINAL_NORM: "output_norm.weight", OUTPUT: "output.weight"}
_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


class GgufCheckpoint:
    """Dequantizes tensors one at a time; raises BuildError when the file is not a Llama."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reader = _open(path)
        self._tensors = {tensor.name: tensor for tensor in self.reader.tensors}
        try:
            self.config = self._read_config()
        except (TypeError, ValueError) as error:
            raise BuildError(f"{path} has a field of the wrong type: {error}.") from error
        self._names = _gguf_names(self.config)
        self._check_tensors()

    def tensor(self, name: str) -> NDArray[np.float32]:
        values = finite(name, self._dequantize(self._names[name]))
        if name.endswith("q_proj.weight"):
            return _halves(values, self.config.num_heads)
        if name.endswith("k_proj.weight"):
            return _halves(values, self.config.num_kv_heads)
        return values

    def _dequantize(self, name: str) -> NDArray[np.float32]:
        tensor = self._tensors[name]
        try:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise BuildError(
                f"{self._path}: {name} is {tensor.tensor_type.name}, which can't be read."
            ) from error
        return np.asarray(values, dtype=np.float32)

    def _field(self, key: str, *default: Any) -> Any:
        return read_field(self.reader, key, *default)

    def _read_config(self) -> LlamaConfig:
        self._refuse_unsupported()
        heads = int(self._field("llama.attention.head_count"))
        hidden = int(self._field("llama.embedding_length"))
        head_size = int(self._field("llama.attention.key_length", head_size_of(hidden, heads)))
        return LlamaConfig(
            num_layers=int(self._field("llama.block_count")),
            hidden_size=hidden,
            intermediate_size=int(self._field("llama.feed_forward_length")),
            num_heads=heads,
            num_kv_heads=int(self._field("llama.attention.head_count_kv", heads)),
            head_size=head_size,
            vocab_size=len(self._field("tokenizer.ggml.tokens")),
            max_model_len=int(self._field("llama.context_length")),
            norm_epsilon=float(self._field("llama.attention.layer_norm_rms_epsilon")),
            rope_frequencies=tuple(self._rope_frequencies(head_size)),
            is_tied=_MODEL_NAMES[OUTPUT] not in self._tensors,
        )

    def _refuse_unsupported(self) -> None:
        architecture = self._field("general.architecture")
        if architecture != "llama":
            raise BuildError(f"{self._path} has architecture {architecture!r}; only 'llama' is supported.")
        for key, only in _REQUIRED_VALUES.items():
            if self._field(key, only) != only:
                raise BuildError(f"{self._path}: {key} is {self._field(key)!r}, only {only!r} is supported.")
        if self._field("split.count", 1) > 1:
            raise BuildError(
                f"{self._path} is one part of a split GGUF; merge its parts into one file first."
            )

    def _rope_frequencies(self, head_size: int) -> list[float]:
        rotated = int(self._field("llama.rope.dimension_count", head_size))
        if rotated != head_size:
            raise BuildError(f"{self._path} rotates {rotated} of {head_size} dimensions; it must rotate all.")
        # As llama.cpp reads them (llama-model.cpp, load_hparams): linear by default, an older name, 0 for 1.
        kind = self._field("llama.rope.scaling.type", "linear")
        if kind not in ("none", "linear"):
            raise BuildError(f"{self._path} scales its rotary embedding by {kind!r}, which is not supported.")
        factor = self._field("llama.rope.scaling.factor", self._field("llama.rope.scale_linear", 1.0))
        divisor = (float(factor) or 1.0) if kind == "linear" else 1.0
        frequencies = inverse_frequencies(float(self._field("llama.rope.freq_base", 10000.0)), head_size)
        if ROPE_FACTORS in self._tensors:
            frequencies = frequencies / self._dequantize(ROPE_FACTORS)
        return [float(frequency) for frequency in frequencies / divisor]

    def _check_tensors(self) -> None:
        known = {gguf_name: name for name, gguf_name in self._names.items()}
        found = {
            known.get(name, name): tuple(int(size) for size in reversed(tensor.shape))
            for name, tensor in self._tensors.items()
        }
        check_shapes(self.config, found, ignored={ROPE_FACTORS})


def read_field(reader: gguf.GGUFReader, key: str, *default: Any) -> Any:
    """The field's value, or the default; raises BuildError where it is missing or no text."""
    field = reader.get_field(key)
    if field is None:
        if not default:
            raise BuildError(f"The GGUF file lacks the field {key}.")
        return default[0]
    try:
        return field.contents()
    except UnicodeDecodeError as error:
        raise BuildError(f"The GGUF field {key} is damaged: {error}.") from error


def _open(path: Path) -> gguf.GGUFReader:
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError) as error:
        raise BuildError(f"{path} is damaged or not a GGUF file: {error}.") from error
    # The library dequantizes little-endian blocks alone, and takes others without a word.
    if reader.endianess == gguf.GGUFEndian.BIG:
        raise BuildError(f"{path} is big-endian; turn it first: .venv/bin/gguf-convert-endian {path} little.")
    return reader


def _gguf_names(config: LlamaConfig) -> dict[str, str]:
    names = dict(_MODEL_NAMES)
    for layer in range(config.num_layers):
        for name, gguf_name in _LAYER_NAMES.items():
            names[layer_tensor(layer, name)] = f"blk.{layer}.{gguf_name}.weight"
    return {name: names[name] for name in tensor_shapes(config)}


def _halves(rows: NDArray[np.float32], num_heads: int) -> NDArray[np.float32]:
    """Undoes llama.cpp's pairing of rotated rows: neighbours become first and second half of each head."""
    pairs = rows.reshape(num_heads, -1, 2, rows.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)
