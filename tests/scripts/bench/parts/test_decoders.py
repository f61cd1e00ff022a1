"""How exactly a decoder computes, from its logits."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.bench.parts.decoders import compare

IDS = [0, 2, 1, 1, 0]
# A piece of three rows and one of two; the id after the last row is not known.
EXACT = np.log([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.3, 0.4, 0.3], [0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
ROUNDED = np.log([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.3, 0.4, 0.3], [0.5, 0.25, 0.25], [0.8, 0.1, 0.1]])


def pieces(logits: NDArray[np.float64], shift: float) -> list[NDArray[np.float32]]:
    """What is added to all logits of a row makes no difference."""
    moved = (logits + shift).astype(np.float32)
    return [moved[:3], moved[3:]]


def test_a_decoder_is_compared_with_the_exact_one_over_all_pieces() -> None:
    rounded, exact = compare({"rounded": iter(pieces(ROUNDED, 3)), "exact": iter(pieces(EXACT, -2))}, IDS)
    assert exact.perplexity == pytest.approx((0.5 * 0.6 * 0.4 * 0.5) ** -0.25, rel=1e-5)
    assert rounded.perplexity == pytest.approx((0.2 * 0.6 * 0.4 * 0.5) ** -0.25, rel=1e-5)
    assert exact.divergence == pytest.approx(0, abs=1e-6)
    assert rounded.divergence == pytest.approx((0.2 * math.log(0.4) + 0.5 * math.log(2.5)) / 4, rel=1e-5)
    assert (exact.same_choice, rounded.same_choice) == (1, 0.75)
    assert (exact.decoder, rounded.decoder) == ("exact", "rounded")
