import pytest

from scripts.bench.parts.workers import NUM_WORKERS, Sample, rows


def sample(rate: float, frontend: float = 50) -> Sample:
    return Sample(rate, frontend, tritonserver=60, engine=20, client=10)


def test_a_row_has_the_medians_and_the_gain_over_one_worker() -> None:
    rounds = [
        [sample(1000), sample(1800), sample(2100)],
        [sample(1200, frontend=54), sample(1500), sample(1900)],
        [sample(900, frontend=90), sample(2000), sample(2000)],
    ]
    measured = rows(NUM_WORKERS, 0.1, rounds)
    assert [row.num_workers for row in measured] == list(NUM_WORKERS)
    assert [(row.tokens_per_s, row.least, row.most) for row in measured] == [
        (1000, 900, 1200),
        (1800, 1500, 2000),
        (2000, 1900, 2100),
    ]
    assert [row.gain for row in measured] == pytest.approx([1, 1.8, 2])
    assert (measured[0].frontend, measured[0].client) == (54, 10)
    assert measured[0].num_cores > 0
    assert measured[0].share == 0.1
