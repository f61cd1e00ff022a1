"""Weights as cpu_decoder reads them: bytes in panels of columns, with a scale for each group of a column."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]

# Columns that are multiplied together, and inputs whose activations share a scale (native/cpu_decoder).
PANEL = 64
GROUP = 64
# Inputs of a column that share a scale, longest first; the first that divides a row is taken.
_GROUP_SIZES = (128, GROUP)
# Bounds the float32 scratch space beside an embedding of gigabytes; whole panels.
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class MatrixShape:
    """Of a matrix as it is stored: whole panels of outputs, those that it lacks with weights of 0."""

    num_outputs: int
    num_inputs: int

    @property
    def num_panels(self) -> int:
        return -(-self.num_outputs // PANEL)

    @property
    def group(self) -> int:
        return next(size for size in _GROUP_SIZES if self.num_inputs % size == 0)

    @property
    def weights(self) -> tuple[int, ...]:
        return (self.num_panels, self.num_inputs // 4, PANEL, 4)

    @property
    def scales(self) -> tuple[int, ...]:
        return (self.num_panels, self.num_inputs // self.group, PANEL)


def pack_int8(weights: Weights, write: Callable[[NDArray[np.uint8]], object]) -> Weights:
    """Hands the bytes over part by part, with 128 added, and returns the scales."""
    shape = MatrixShape(*weights.shape)
    scales = []
    for rows in _by_panels(weights):
        quantized, scale = quantize_int8(rows, shape.group)
        fours = quantized.reshape(len(rows), -1).view(np.uint32).reshape(-1, PANEL, shape.num_inputs // 4)
        packed = np.ascontiguousarray(fours.transpose(0, 2, 1)).view(np.uint8)
        write(packed ^ np.uint8(0x80))
        scales.append(scale.reshape(-1, PANEL, scale.shape[1]).transpose(0, 2, 1))
    return np.ascontiguousarray(np.concatenate(scales), np.float32)


def quantize_int8(weights: Weights, group: int) -> tuple[NDArray[np.int8], Weights]:
    """Bytes [rows, groups, group] and scales [rows, groups], which a float16 holds; 1 for groups of zeros."""
    groups = weights.reshape(len(weights), -1, group)
    scales = (np.abs(groups).max(axis=2) / 127.0).astype(np.float16).astype(np.float32)
    scales[scales == 0] = 1.0
    return np.clip(np.rint(groups / scales[..., None]), -127, 127).astype(np.int8), scales


def _by_panels(weights: Weights) -> Iterator[Weights]:
    for start in range(0, len(weights), ROWS_AT_ONCE):
        rows = weights[start : start + ROWS_AT_ONCE]
        yield np.pad(rows, [(0, -len(rows) % PANEL), (0, 0)])
