import pytest

from scripts.bench.load import RawStream
from scripts.bench.parts.overload import overload_of


def received(*arrivals: float) -> RawStream:
    stream = RawStream()
    stream.arrivals.extend(arrivals)
    return stream


def test_refusals_and_gaps_are_told_in_milliseconds() -> None:
    alone = [received(1.0, 1.05, 1.1), received(2.0, 2.05)]
    flooded = [received(5.0, 5.05, 5.1, 5.3)]
    row = overload_of([0.001, 0.002, 0.009], 1.5, alone, flooded)
    assert row.refused_per_s == 2
    assert (row.refusal_p50, row.refusal_p99) == pytest.approx((2, 9), rel=0.02)
    assert row.gap_p50 == pytest.approx((50, 50))
    assert row.gap_p99 == pytest.approx((50, 200), rel=0.02)
