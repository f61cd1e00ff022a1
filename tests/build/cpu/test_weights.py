"""Quantized weights come back close, whatever the rows hold."""

import numpy as np
import pytest

from build.cpu.weights import PRECISIONS, ROWS_AT_ONCE, quantize_int4, quantize_int8

ROWS = np.random.default_rng(3).normal(size=(6, 256)).astype(np.float32)


def test_int8_is_off_by_half_a_step_at_most() -> None:
    quantized, scales = (part.astype(np.float32) for part in quantize_int8(ROWS))
    assert quantized.shape == (6, 2, 128)
    # Beyond half a step: a scale rounded down to float16 clips the largest value.
    assert np.all(np.abs(quantized * scales - ROWS.reshape(6, 2, 128)) <= 0.57 * scales)


def test_int4_is_off_by_one_step_at_most() -> None:
    quantized, scales, zeros = (part.astype(np.float32) for part in quantize_int4(ROWS))
    assert quantized.min() >= 0
    assert quantized.max() <= 15
    assert np.all(np.abs((quantized - zeros) * scales - ROWS.reshape(6, 2, 128)) <= 1.01 * scales)


@pytest.mark.parametrize(("columns", "group"), [(512, 128), (192, 64), (96, 32), (50, 50)])
def test_groups_divide_the_row(columns: int, group: int) -> None:
    assert quantize_int8(np.ones((2, columns), dtype=np.float32))[0].shape[-1] == group


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", [(3, 50), (5, 96), (ROWS_AT_ONCE + 3, 32)])
def test_stored_weights_have_the_shape_of_the_weights(precision: str, shape: tuple[int, int]) -> None:
    node = PRECISIONS[precision].layers(np.zeros(shape, dtype=np.float32))
    assert tuple(node.output(0).shape) == shape
    assert node.output(0).element_type.type_name == "f32"


@pytest.mark.parametrize("quantize", [quantize_int8, quantize_int4])
@pytest.mark.parametrize("value", [0.0, 1e-12, 2.5, -2.5])
def test_constant_rows_survive(quantize: type, value: float) -> None:
    parts = [part.astype(np.float32) for part in quantize(np.full((1, 32), value, dtype=np.float32))]
    restored = (parts[0] - (parts[2] if len(parts) == 3 else 0)) * parts[1]
    np.testing.assert_allclose(restored, value, atol=1e-6, rtol=1e-3)
