"""How weights are stored in an OpenVINO engine: one function per precision."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from build.checkpoint.checkpoint import EMBEDDING, OUTPUT, LlamaConfig, tensor_shapes

Weights = NDArray[np.float32]
Store = Callable[[Weights], ov.Node]
Arrays = tuple[NDArray[np.generic], ...]

# Lengths of the groups that share a scale, longest first; the first that divides a row is taken.
GROUP_SIZES = (128, 64, 32)

# Bounds the float32 scratch space beside an embedding of gigabytes.
ROWS_AT_ONCE = 4096


def store_int8(weights: Weights) -> ov.Node:
    """Signed bytes with a float16 scale for each group of a row."""
    quantized, scales = _by_blocks(quantize_int8, weights)
    return _scaled(ops.convert(ops.constant(quantized), "f16"), scales, weights.shape)


def store_int4(weights: Weights) -> ov.Node:
    """Unsigned nibbles with a float16 scale and a zero point for each group of a row."""
    quantized, scales, zeros = _by_blocks(quantize_int4, weights)
    return _scaled(ops.subtract(_nibbles(quantized), _nibbles(zeros)), scales, weights.shape)


def store_bf16(weights: Weights) -> ov.Node:
    """Brain floats, which keep float32's range."""
    bits = weights.astype(ml_dtypes.bfloat16).view(np.uint16)
    return ops.convert(_constant(bits, weights.shape, ov.Type.bf16), "f32")


def store_f16(weights: Weights) -> ov.Node:
    """Half floats."""
    return ops.convert(ops.constant(weights.astype(np.float16)), "f32")


# A weight's bytes with its share of scales and zero points, for the shortest group.
_BYTES: dict[Store, float] = {store_int8: 1.07, store_int4: 0.58, store_bf16: 2.0, store_f16: 2.0}


@dataclass(frozen=True)
class Precision:
    """How the layers' matrices are stored, and how the embedding and the output matrix are."""

    layers: Store
    vocabulary: Store

    def of(self, name: str) -> Store:
        return self.vocabulary if name in (EMBEDDING, OUTPUT) else self.layers


PRECISIONS = {
    "int8": Precision(store_int8, store_int8),
    # With nibbles for the vocabulary too, the embedded model has a perplexity of 47 on English prose instead
    # of 38; int8 has 28.5, float16 28.3.
    "int4": Precision(store_int4, store_int8),
    "bf16": Precision(store_bf16, store_bf16),
    "f16": Precision(store_f16, store_f16),
}


def stored_bytes(config: LlamaConfig, precision: str) -> int:
    """About how much disk the weights take."""
    shapes = tensor_shapes(config).items()
    return int(sum(math.prod(shape) * _BYTES[PRECISIONS[precision].of(name)] for name, shape in shapes))


def quantize_int8(weights: Weights) -> Arrays:
    """Bytes [rows, groups, group] and scales [rows, groups, 1]."""
    groups = _grouped(weights)
    scales, wide = _half_scales(np.abs(groups).max(axis=2, keepdims=True) / 127.0)
    return np.clip(np.rint(groups / wide), -127, 127).astype(np.int8), scales


def quantize_int4(weights: Weights) -> Arrays:
    """Values of 0 to 15 [rows, groups, group], scales and zero points [rows, groups, 1]."""
    groups = _grouped(weights)
    low = np.minimum(groups.min(axis=2, keepdims=True), 0.0)
    high = np.maximum(groups.max(axis=2, keepdims=True), 0.0)
    scales, wide = _half_scales((high - low) / 15.0)
    zeros = np.clip(np.rint(-low / wide), 0, 15)
    quantized = np.clip(np.rint(groups / wide) + zeros, 0, 15)
    return quantized.astype(np.uint8), scales, zeros.astype(np.uint8)


def _grouped(weights: Weights) -> Weights:
    rows, columns = weights.shape
    group = next((size for size in GROUP_SIZES if columns % size == 0), columns)
    return weights.reshape(rows, columns // group, group)


def _half_scales(exact: Weights) -> tuple[NDArray[np.float16], Weights]:
    """The scales as they are stored, and the same in float32 to quantize with; 1 for groups of zeros."""
    scales = exact.astype(np.float16)
    scales[scales == 0] = 1.0
    return scales, scales.astype(np.float32)


def _by_blocks(quantize: Callable[[Weights], Arrays], weights: Weights) -> Arrays:
    starts = range(0, len(weights), ROWS_AT_ONCE)
    blocks = [quantize(weights[start : start + ROWS_AT_ONCE]) for start in starts]
    return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))


def _scaled(values: ov.Node, scales: NDArray[np.generic], shape: tuple[int, ...]) -> ov.Node:
    grouped = ops.multiply(values, ops.constant(scales))
    flat = ops.reshape(grouped, np.array(shape, dtype=np.int64), special_zero=False)
    return ops.convert(flat, "f32")


def _nibbles(values: NDArray[np.generic]) -> ov.Node:
    flat = np.append(values, np.zeros(values.size % 2, dtype=np.uint8)).astype(np.uint8)
    packed = flat[::2] | (flat[1::2] << 4)
    return ops.convert(_constant(packed, values.shape, ov.Type.u4), "f16")


def _constant(packed: NDArray[np.generic], shape: tuple[int, ...], kind: ov.Type) -> ov.Node:
    # The tensor only borrows the array, so the constant has to copy.
    return ops.constant(ov.Tensor(packed, shape, kind), shared_memory=False)
