"""Quantized weights come back close, whatever the rows hold."""

import numpy as np
import pytest
from numpy.typing import NDArray

from build.cpu.weights import PANEL, ROWS_AT_ONCE, MatrixShape, Weights, pack_int8, quantize_int8

ROWS = np.random.default_rng(3).normal(size=(6, 256)).astype(np.float32)


def test_int8_is_off_by_half_a_step_at_most() -> None:
    quantized, scales = quantize_int8(ROWS, 128)
    assert quantized.shape == (6, 2, 128)
    steps = scales[..., None]
    # Beyond half a step: a scale rounded down to float16 clips the largest value.
    assert np.all(np.abs(quantized * steps - ROWS.reshape(6, 2, 128)) <= 0.57 * steps)


@pytest.mark.parametrize(("columns", "group"), [(512, 128), (192, 64), (64, 64)])
def test_groups_divide_the_row(columns: int, group: int) -> None:
    assert MatrixShape(2, columns).group == group


@pytest.mark.parametrize("value", [0.0, 1e-12, 2.5, -2.5])
def test_constant_rows_survive(value: float) -> None:
    quantized, scales = quantize_int8(np.full((1, 64), value, dtype=np.float32), 64)
    np.testing.assert_allclose(quantized * scales[..., None], value, atol=1e-6, rtol=1e-3)


def packed(weights: Weights) -> tuple[NDArray[np.uint8], Weights]:
    parts: list[NDArray[np.uint8]] = []
    scales = pack_int8(weights, parts.append)
    return np.concatenate(parts), scales


@pytest.mark.parametrize("num_outputs", [64, 128, 100, ROWS_AT_ONCE + 3])
def test_packed_weights_are_the_quantized_ones_in_panels(num_outputs: int) -> None:
    weights = np.random.default_rng(1).normal(size=(num_outputs, 192)).astype(np.float32)
    shape = MatrixShape(num_outputs, 192)
    found, scales = packed(weights)
    assert (found.reshape(shape.weights).shape, scales.shape) == (shape.weights, shape.scales)
    quantized, expected = quantize_int8(weights, 64)
    for output in (0, 1, 63, num_outputs - 1):
        panel, column = divmod(output, PANEL)
        own = found.reshape(shape.weights)[panel, :, column].reshape(-1).astype(int) - 128
        np.testing.assert_array_equal(own, quantized[output].reshape(-1))
        np.testing.assert_array_equal(scales[panel, :, column], expected[output])


def test_outputs_beyond_the_matrix_are_zero() -> None:
    found, _ = packed(np.ones((100, 64), np.float32))
    assert set(found.reshape(2, 16, 64, 4)[1, :, 36:].flatten()) == {128}
