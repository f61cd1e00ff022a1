import numpy as np
import pytest
from contract.tensors import Logits
from sampling.logit_ranking import NUM_RANKED, LogitRanking


def random_logits(num_rows: int, vocab_size: int) -> Logits:
    return (np.random.default_rng(2).standard_normal((num_rows, vocab_size)) * 5).astype(np.float32)


@pytest.mark.parametrize("vocab_size", [5, 64, 100, 640, 64 * 80, 64 * 80 + 3])
def test_best_logits_in_order(vocab_size: int) -> None:
    logits = random_logits(3, vocab_size)
    ranking = LogitRanking(vocab_size).rank(logits, np.ones(3, np.float32))
    expected = -np.sort(-logits)[:, :NUM_RANKED]
    np.testing.assert_array_equal(ranking.logits, expected)
    np.testing.assert_array_equal(np.take_along_axis(logits, ranking.ids, 1), expected)


@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (0.5, 2.0), (1e-5, 1000.0)])
def test_sums_of_exponentials(temperatures: tuple[float, float]) -> None:
    logits = random_logits(2, 640) + 30
    below = logits.astype(np.float64) - logits.max(1, keepdims=True)
    expected = np.log(np.exp(below / np.array(temperatures)[:, None]).sum(1))
    sums = LogitRanking(640).rank(logits, np.array(temperatures, np.float32)).log_sums
    np.testing.assert_allclose(sums, expected, atol=1e-5)


def test_masked_logits_count_for_nothing() -> None:
    logits = random_logits(1, 640)
    masked = logits.copy()
    masked[0, 3:] = -np.inf
    ranking = LogitRanking(640).rank(masked, np.ones(1, np.float32))
    assert sorted(ranking.ids[0, :3].tolist()) == [0, 1, 2]
    assert (ranking.logits[0, 3:] == -np.inf).all()
    expected = np.log(np.exp(logits[0, :3] - logits[0, :3].max()).sum())
    np.testing.assert_allclose(ranking.log_sums, [expected], atol=1e-5)
