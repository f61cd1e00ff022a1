"""The weights of an engine, mapped from the file that build/cpu/engine_file.py writes."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FILE_NAME = "cpu_decoder.safetensors"
FORMAT = "cpu_decoder 1"

# Of cpu_decoder: columns computed together, activations that share a scale, queries of a key/value head, and
# the largest head (byte_product.h, rounded_rows.h, attention.h).
_PANEL = 64
_GROUP = 64
_MAX_QUERIES = 24
_MAX_HEAD_SIZE = 256
_ALIGNMENT = 64

_DTYPES: dict[str, type[np.uint8] | type[np.float32]] = {"U8": np.uint8, "F32": np.float32}

Floats: TypeAlias = NDArray[np.float32]


class DamagedEngine(RuntimeError):
    """The file is not what the builder writes."""


@dataclass(frozen=True, slots=True)
class ByteMatrix:
    """Weights with 128 added, [panels, inputs / 4, 64, 4], and scales, [panels, groups, 64]."""

    weights: NDArray[np.uint8]
    scales: Floats
    num_inputs: int
    num_outputs: int
    group: int


@dataclass(frozen=True, slots=True)
class LayerWeights:
    input_norm: Floats
    attention_norm: Floats
    projections: ByteMatrix
    output: ByteMatrix
    gate: ByteMatrix
    up: ByteMatrix
    down: ByteMatrix


@dataclass(frozen=True, slots=True)
class DecoderWeights:
    """frequencies are the rotation's, in radians a token; the head has outputs up to a whole panel."""

    vocab_size: int
    norm_epsilon: float
    frequencies: Floats
    final_norm: Floats
    embedding: ByteMatrix
    head: ByteMatrix
    layers: tuple[LayerWeights, ...]

    @property
    def head_size(self) -> int:
        return 2 * len(self.frequencies)

    @property
    def num_heads(self) -> int:
        return self.layers[0].output.num_inputs // self.head_size

    @property
    def num_kv_heads(self) -> int:
        return (self.layers[0].projections.num_outputs // self.head_size - self.num_heads) // 2


def read_decoder_weights(engine: Path) -> DecoderWeights:
    """Takes the engine's folder; raises DamagedEngine."""
    try:
        file = _EngineFile(engine / FILE_NAME)
        embedding = file.matrix("embedding")
        weights = DecoderWeights(
            vocab_size=int(file.facts["vocab_size"]),
            norm_epsilon=float(file.facts["norm_epsilon"]),
            frequencies=file.vector("frequencies"),
            final_norm=file.vector("final_norm"),
            embedding=embedding,
            head=file.matrix("head") if "head" in file.tensors else embedding,
            layers=tuple(_layer(file, number) for number in range(int(file.facts["num_layers"]))),
        )
        fit = _fit_each_other(weights)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as reason:
        raise DamagedEngine(f"{FILE_NAME} is not what the builder writes: {reason!r}") from reason
    if not fit:
        raise DamagedEngine(f"{FILE_NAME} has matrices of sizes that do not fit each other.")
    return weights


def read_vocab_size(engine: Path) -> int:
    """Raises DamagedEngine."""
    return read_decoder_weights(engine).vocab_size


def _layer(file: "_EngineFile", number: int) -> LayerWeights:
    name = f"layers.{number}"
    return LayerWeights(
        input_norm=file.vector(f"{name}.input_norm"),
        attention_norm=file.vector(f"{name}.attention_norm"),
        projections=file.matrix(f"{name}.projections"),
        output=file.matrix(f"{name}.output"),
        gate=file.matrix(f"{name}.gate"),
        up=file.matrix(f"{name}.up"),
        down=file.matrix(f"{name}.down"),
    )


class _EngineFile:
    """Pages come from the disk as they are read, and all processes share them."""

    def __init__(self, path: Path) -> None:
        self._bytes = np.memmap(path, np.uint8, mode="r")
        begin = 8 + int.from_bytes(self._bytes[:8].tobytes(), "little")
        self.tensors: dict[str, Any] = json.loads(self._bytes[8:begin].tobytes())
        self.facts: dict[str, str] = self.tensors.pop("__metadata__")
        if self.facts["format"] != FORMAT or begin % _ALIGNMENT:
            raise ValueError(f"{self.facts['format']} from byte {begin}")
        self._data = self._bytes[begin:]

    def vector(self, name: str) -> Floats:
        vector: Floats = self._tensor(name, "F32")
        return vector

    def matrix(self, name: str) -> ByteMatrix:
        weights, scales = self._tensor(name, "U8"), self._tensor(f"{name}.scales", "F32")
        num_panels, num_fours, *panel = weights.shape
        num_inputs, num_groups = 4 * num_fours, scales.shape[1]
        if panel != [_PANEL, 4] or scales.shape != (num_panels, num_groups, _PANEL):
            raise ValueError(f"{name} of {weights.shape} with scales of {scales.shape}")
        group = num_inputs // num_groups
        if group % _GROUP or group * num_groups != num_inputs:
            raise ValueError(f"{name} of {num_inputs} inputs in {num_groups} groups")
        return ByteMatrix(weights, scales, num_inputs, num_panels * _PANEL, group)

    def _tensor(self, name: str, dtype: str) -> NDArray[Any]:
        entry = self.tensors[name]
        begin, end = entry["data_offsets"]
        kind, shape = _DTYPES[entry["dtype"]], entry["shape"]
        if entry["dtype"] != dtype or not 0 <= begin <= end <= len(self._data) or begin % _ALIGNMENT:
            raise ValueError(f"{name} as {entry}")
        if math.prod(shape) * np.dtype(kind).itemsize != end - begin:
            raise ValueError(f"{name} as {entry}")
        return np.asarray(self._data[begin:end].view(kind).reshape(shape))


def _fit_each_other(weights: DecoderWeights) -> bool:
    """Whether no step reads beyond what is there."""
    hidden, size = weights.embedding.num_inputs, weights.head_size
    queries, keys = weights.num_heads * size, weights.num_kv_heads * size
    inner = weights.layers[0].gate.num_outputs
    fit = size % _GROUP == 0 < weights.num_kv_heads and size <= _MAX_HEAD_SIZE
    fit = fit and weights.num_heads % weights.num_kv_heads == 0
    fit = fit and weights.num_heads <= weights.num_kv_heads * _MAX_QUERIES
    fit = fit and len(weights.final_norm) == hidden == weights.head.num_inputs
    fit = fit and 0 < weights.vocab_size <= min(weights.embedding.num_outputs, weights.head.num_outputs)
    for layer in weights.layers:
        matrices = (layer.projections, layer.output, layer.gate, layer.up, layer.down)
        sizes = [(it.num_outputs, it.num_inputs) for it in matrices]
        expected = [(queries + 2 * keys, hidden), (hidden, queries), *2 * [(inner, hidden)], (hidden, inner)]
        fit = fit and sizes == expected and len(layer.input_norm) == len(layer.attention_norm) == hidden
    return fit
