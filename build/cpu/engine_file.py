"""The engine of a checkpoint in one file, which cpu_decoder maps into memory.

It is a safetensors file, so that other tools can read it; each tensor begins on a border of 64 bytes.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from build.checkpoint.checkpoint import EMBEDDING, FINAL_NORM, OUTPUT, Checkpoint, LlamaConfig, layer_tensor
from build.cpu.weights import GROUP, PANEL, MatrixShape, Weights, pack_int8
from build.errors import BuildError

FILE_NAME = "cpu_decoder.safetensors"
FORMAT = "cpu_decoder 1"

_ALIGNMENT = 64
# Of native/cpu_decoder: queries of a key/value head, and the largest head.
_MAX_QUERIES = 24
_MAX_HEAD_SIZE = 256


@dataclass(frozen=True)
class _Part:
    """A vector of that many floats, or a matrix; of the checkpoint's tensors one below the other."""

    name: str
    tensors: tuple[str, ...]
    shape: MatrixShape | int

    def stored(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """Name, dtype and shape of each tensor of the file."""
        if isinstance(self.shape, int):
            yield self.name, "F32", (self.shape,)
        else:
            yield self.name, "U8", self.shape.weights
            yield f"{self.name}.scales", "F32", self.shape.scales


def check_sizes(config: LlamaConfig) -> None:
    """Raises BuildError for a model that cpu_decoder has no arithmetic for."""
    if config.head_size % GROUP or config.head_size > _MAX_HEAD_SIZE:
        raise BuildError(
            f"The model's heads of {config.head_size} must be of {GROUP}, 128, 192 or {_MAX_HEAD_SIZE}."
        )
    if config.num_heads > config.num_kv_heads * _MAX_QUERIES:
        raise BuildError(
            f"The model's {config.num_heads} heads share {config.num_kv_heads} of keys and values;"
            f" {_MAX_QUERIES} may share one."
        )
    for name, size in (("hidden size", config.hidden_size), ("intermediate size", config.intermediate_size)):
        if size % PANEL:
            raise BuildError(f"The model's {name} {size} must be a multiple of {PANEL}.")


def engine_bytes(config: LlamaConfig) -> int:
    """What the tensors take."""
    return sum(_num_bytes(kind, shape) for part in _parts(config) for _, kind, shape in part.stored())


def write_engine_file(checkpoint: Checkpoint, path: Path, advance: Callable[[], None]) -> None:
    """Advances after each layer."""
    with path.open("wb") as file:
        file.write(_header(checkpoint.config))
        for part in _parts(checkpoint.config):
            weights = _weights(checkpoint, part)
            if not isinstance(part.shape, int):
                weights = pack_int8(weights, lambda packed: file.write(packed.data))
            file.write(weights.astype(np.float32, copy=False).data)
            if part.name.endswith(".down"):
                advance()


def _weights(checkpoint: Checkpoint, part: _Part) -> Weights:
    if not part.tensors:
        return np.array(checkpoint.config.rope_frequencies, np.float32)
    tensors = [checkpoint.tensor(name) for name in part.tensors]
    return np.ascontiguousarray(np.concatenate(tensors) if len(tensors) > 1 else tensors[0])


def _header(config: LlamaConfig) -> bytes:
    """As the format of safetensors says: its length, then JSON with spaces behind it."""
    facts = {
        "format": FORMAT,
        "vocab_size": config.vocab_size,
        "num_layers": config.num_layers,
        "norm_epsilon": config.norm_epsilon,
    }
    tensors: dict[str, object] = {"__metadata__": {name: str(value) for name, value in facts.items()}}
    end = 0
    for part in _parts(config):
        for name, kind, shape in part.stored():
            begin, end = end, end + _num_bytes(kind, shape)
            tensors[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(tensors).encode()
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _num_bytes(kind: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * {"U8": 1, "F32": 4}[kind]


def _parts(config: LlamaConfig) -> Iterator[_Part]:
    hidden = config.hidden_size
    vocabulary = MatrixShape(config.vocab_size, hidden)
    yield _Part("frequencies", (), len(config.rope_frequencies))
    yield _Part("embedding", (EMBEDDING,), vocabulary)
    for layer in range(config.num_layers):
        yield from _layer_parts(config, layer)
    yield _Part("final_norm", (FINAL_NORM,), hidden)
    if not config.is_tied:
        yield _Part("head", (OUTPUT,), vocabulary)


def _layer_parts(config: LlamaConfig, layer: int) -> Iterator[_Part]:
    hidden, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_heads * config.head_size, config.num_kv_heads * config.head_size

    def part(name: str, tensors: tuple[str, ...], shape: MatrixShape | int) -> _Part:
        return _Part(f"layers.{layer}.{name}", tuple(layer_tensor(layer, it) for it in tensors), shape)

    yield part("input_norm", ("input_layernorm",), hidden)
    # One product: three small ones take longer.
    projections = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    yield part("projections", projections, MatrixShape(queries + 2 * keys, hidden))
    yield part("output", ("self_attn.o_proj",), MatrixShape(hidden, queries))
    yield part("attention_norm", ("post_attention_layernorm",), hidden)
    yield part("gate", ("mlp.gate_proj",), MatrixShape(inner, hidden))
    yield part("up", ("mlp.up_proj",), MatrixShape(inner, hidden))
    yield part("down", ("mlp.down_proj",), MatrixShape(hidden, inner))
