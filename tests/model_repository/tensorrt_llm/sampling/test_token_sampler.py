from collections import Counter

import numpy as np
import pytest
from contract.sampling import Sampling
from contract.tensors import Logits
from numpy.typing import NDArray
from sampling.token_sampler import TokenSampler

NUM_RANKED = 8


def draws(logits: Logits, sampling: Sampling, count: int, num_ranked: int = NUM_RANKED) -> list[int]:
    sampler = TokenSampler(sampling)
    order = np.argsort(-logits, kind="stable")[:num_ranked].astype(np.int32)
    below = (logits.astype(np.float64) - logits.max()) / sampling.temperature
    log_sum = float(np.log(np.exp(below).sum()))
    return [sampler.draw(logits, order, logits[order], log_sum) for _ in range(count)]


def expected_chances(logits: Logits, sampling: Sampling) -> NDArray[np.float64]:
    """Temperature, then top_k, then top_p of what that leaves; min_p beside them."""
    chances = np.exp((logits.astype(np.float64) - logits.max()) / sampling.temperature)
    chances /= chances.sum()
    order = np.argsort(-chances, kind="stable")
    kept = order[: sampling.top_k or len(order)]
    before = np.cumsum(chances[kept]) / chances[kept].sum() - chances[kept] / chances[kept].sum()
    kept = kept[before < sampling.top_p]
    kept = kept[chances[kept] >= sampling.min_p * chances.max()]
    result: NDArray[np.float64] = np.zeros_like(chances)
    result[kept] = chances[kept] / chances[kept].sum()
    return result


@pytest.fixture(scope="module")
def logits() -> Logits:
    return (np.random.default_rng(1).standard_normal(40) * 2).astype(np.float32)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(top_k=0),
        Sampling(top_k=0, temperature=0.5),
        Sampling(top_k=0, temperature=3.0),
        Sampling(top_k=5),
        Sampling(top_k=NUM_RANKED, temperature=3.0),
        Sampling(top_k=20, temperature=3.0),
        Sampling(top_k=100),
        Sampling(top_k=0, top_p=0.5),
        Sampling(top_k=0, top_p=0.95, temperature=3.0),
        Sampling(top_k=0, min_p=0.3),
        Sampling(top_k=0, min_p=0.01, temperature=2.0),
        Sampling(top_k=5, top_p=0.6),
        Sampling(top_k=20, top_p=0.9, min_p=0.02, temperature=2.0),
        Sampling(top_k=0, top_p=0.4, min_p=0.01, temperature=2.0),
    ],
)
def test_draws_have_the_true_distribution(sampling: Sampling, logits: Logits) -> None:
    chances = expected_chances(logits, sampling)
    counts = np.bincount(draws(logits, sampling, 4000), minlength=len(logits))
    assert not counts[chances == 0].any()
    deviation = np.abs(counts - 4000 * chances) / np.sqrt(4000 * chances * (1 - chances) + 1)
    assert deviation.max() < 4


@pytest.mark.parametrize(
    "sampling", [Sampling(top_k=0, temperature=2.0), Sampling(top_k=0, top_p=0.9), Sampling(top_k=30)]
)
def test_the_number_of_ranked_logits_changes_nothing(sampling: Sampling, logits: Logits) -> None:
    assert draws(logits, sampling, 300, num_ranked=4) == draws(logits, sampling, 300, num_ranked=40)


def test_same_seed_same_draws(logits: Logits) -> None:
    same = [draws(logits, Sampling(top_k=0, seed=seed), 50) for seed in (3, 3, 4)]
    assert same[0] == same[1]
    assert same[0] != same[2]


@pytest.mark.parametrize("temperature", [1.0, 100.0])
def test_what_is_forbidden_is_never_drawn(temperature: float, logits: Logits) -> None:
    masked = logits.copy()
    masked[5:] = -np.inf
    assert set(draws(masked, Sampling(top_k=0, temperature=temperature), 500)) == set(range(5))


def test_almost_no_temperature_is_greedy(logits: Logits) -> None:
    drawn = draws(logits * 10, Sampling(top_k=0, top_p=0.9, temperature=1e-5), 50)
    assert Counter(drawn) == {int(logits.argmax()): 50}
