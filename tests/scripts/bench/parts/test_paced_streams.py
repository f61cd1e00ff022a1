import pytest

from scripts.bench.load import RawStream
from scripts.bench.parts.paced_streams import _steadiness

PACE = 10.0


def received(arrivals: list[float], words: list[int]) -> RawStream:
    stream = RawStream()
    stream.arrivals.extend(arrivals)
    stream.num_words_by.extend(words)
    return stream


def test_delays_are_behind_the_schedule_of_the_most_punctual_token() -> None:
    step = 1 / PACE
    punctual = received([5.0, 5.0 + step, 5.0 + 2 * step], [1, 2, 3])
    steady = _steadiness([punctual], (1, 3), PACE, 50.0, [1.0, 2.0])
    assert steady.delay_p99 == pytest.approx(0, abs=1e-6)
    assert steady.gap_p99 == pytest.approx(1e3 * step)
    assert steady.tokens_per_s == pytest.approx(3 / (2 * step))
    # The second token came with the third: nothing is late but one event is missing.
    together = received([5.0, 5.0 + 2 * step], [1, 3])
    steady = _steadiness([together], (1, 3), PACE, 50.0, [1.0])
    assert steady.delay_p99 == pytest.approx(0, abs=1e-6)
    assert steady.events_per_token == pytest.approx(2 / 3)
    late = received([5.0, 5.0 + step, 5.02 + 2 * step], [1, 2, 3])
    assert _steadiness([late], (1, 3), PACE, 50.0, [1.0]).delay_p99 == pytest.approx(20, rel=0.05)
