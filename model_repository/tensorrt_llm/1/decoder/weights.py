"""The weights of an OpenVINO engine as cpu_decoder reads them; it computes what the graph says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import openvino
from numpy.typing import NDArray

# Of cpu_decoder: columns computed together, activations that share a scale, queries of a key/value head, and
# the largest head (byte_product.h, rounded_rows.h, attention.h, kv_cache.h).
_PANEL = 64
_GROUP = 64
_MAX_QUERIES = 24
_MAX_HEAD_SIZE = 256
_CACHE_LINE = 64

Floats: TypeAlias = NDArray[np.float32]


class UnsuitableEngine(Exception):
    """The engine has weights or sizes that cpu_decoder does not know."""


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
    """frequencies are the rotation's, in radians a token."""

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


def read_decoder_weights(model: openvino.Model) -> DecoderWeights:
    """Takes a model of build/openvino_graph.py; raises UnsuitableEngine."""
    nodes = _Nodes({node.get_friendly_name(): node for node in model.get_ops()})
    embedding = nodes.matrix("model.embed_tokens")
    num_layers = sum(name.endswith(".mlp.down_proj.weight") for name in nodes.by_name)
    weights = DecoderWeights(
        norm_epsilon=float(nodes.floats("norm_epsilon")),
        frequencies=_aligned_copy(nodes.floats("rope_frequencies").reshape(-1)),
        final_norm=nodes.norm("model.norm"),
        embedding=embedding,
        head=nodes.matrix("lm_head") if "lm_head.weight" in nodes.by_name else embedding,
        layers=tuple(_layer(nodes, f"model.layers.{number}") for number in range(num_layers)),
    )
    if weights.head_size % _GROUP or weights.head_size > _MAX_HEAD_SIZE:
        raise UnsuitableEngine(f"heads of {weights.head_size}")
    if weights.num_heads > weights.num_kv_heads * _MAX_QUERIES:
        raise UnsuitableEngine(f"{weights.num_heads} heads for {weights.num_kv_heads} of keys and values")
    return weights


class _Nodes:
    def __init__(self, by_name: Mapping[str, Any]) -> None:
        self.by_name = by_name

    def floats(self, name: str) -> Floats:
        return np.asarray(self._node(name).data, np.float32)

    def norm(self, name: str) -> Floats:
        return _aligned_copy(self.floats(f"{name}.weight").reshape(-1))

    def matrix(self, name: str) -> ByteMatrix:
        weights, scales = _stored(self._node(f"{name}.weight"))
        num_outputs, num_groups, group = weights.shape
        if num_outputs % _PANEL or group % _GROUP:
            raise UnsuitableEngine(f"{name} of {num_outputs} outputs in groups of {group}")
        return _packed(weights.reshape(num_outputs, -1), scales.reshape(num_outputs, num_groups))

    def _node(self, name: str) -> Any:
        if name not in self.by_name:
            raise UnsuitableEngine(f"no {name}")
        return self.by_name[name]


def _layer(nodes: _Nodes, name: str) -> LayerWeights:
    return LayerWeights(
        input_norm=nodes.norm(f"{name}.input_layernorm"),
        attention_norm=nodes.norm(f"{name}.post_attention_layernorm"),
        projections=nodes.matrix(f"{name}.self_attn.qkv_proj"),
        output=nodes.matrix(f"{name}.self_attn.o_proj"),
        gate=nodes.matrix(f"{name}.mlp.gate_proj"),
        up=nodes.matrix(f"{name}.mlp.up_proj"),
        down=nodes.matrix(f"{name}.mlp.down_proj"),
    )


def _stored(node: Any) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """What store_int8 of build/openvino_weights.py stored: bytes [outputs, groups, group], and scales."""
    product = node
    for kind in ("Convert", "Reshape"):
        if product.get_type_name() != kind:
            raise UnsuitableEngine(f"{node.get_friendly_name()} is not of bytes")
        product = product.input_value(0).get_node()
    converted, scales = (value.get_node() for value in product.input_values())
    stored = converted.input_value(0).get_node()
    if stored.get_type_name() != "Constant" or stored.get_element_type() != openvino.Type.i8:
        raise UnsuitableEngine(f"{node.get_friendly_name()} is not of bytes")
    return stored.data, scales.data


def _packed(weights: NDArray[np.int8], scales: NDArray[np.float16]) -> ByteMatrix:
    num_outputs, num_inputs = weights.shape
    num_panels, num_groups = num_outputs // _PANEL, scales.shape[1]
    fours = np.ascontiguousarray(weights).view(np.uint32).reshape(num_panels, _PANEL, num_inputs // 4)
    packed = _aligned_copy(fours.transpose(0, 2, 1)).view(np.uint8)
    packed ^= 0x80
    panels = scales.reshape(num_panels, _PANEL, num_groups).transpose(0, 2, 1)
    return ByteMatrix(
        packed, _aligned_copy(panels.astype(np.float32)), num_inputs, num_outputs, num_inputs // num_groups
    )


def _aligned_copy(array: NDArray[Any]) -> NDArray[Any]:
    memory = np.empty(array.nbytes + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
