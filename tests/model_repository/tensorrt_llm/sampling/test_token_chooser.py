from collections.abc import Sequence

import numpy as np
import pytest
from batching.paged_sequence import PagedSequence
from contract.sampling import Sampling
from contract.tensors import Logits
from sampling.logit_edits import Bias, LogitEdit
from sampling.token_chooser import TokenChooser

from tests.model_repository.tensorrt_llm import asking

VOCAB_SIZE = 128
GREEDY = Sampling()
SAMPLED = Sampling(top_k=0, temperature=0.7, seed=4)


@pytest.fixture(scope="module")
def chooser() -> TokenChooser:
    return TokenChooser(VOCAB_SIZE)


@pytest.fixture
def logits() -> Logits:
    return np.random.default_rng(3).standard_normal((3, VOCAB_SIZE)).astype(np.float32)


def log_probs(logits: Logits) -> Logits:
    return np.asarray(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))


def sequence(
    sampling: Sampling = GREEDY, edits: Sequence[LogitEdit] = (), *, is_told: bool = False
) -> PagedSequence:
    told = {"returns_log_probs": is_told, "returns_generation_logits": is_told}
    return asking.sequence([1], edits=edits, sampling=sampling, **told)


def forbidden(ids: Sequence[int]) -> Bias:
    return Bias(dict.fromkeys(ids, -np.inf))


def test_greedy_takes_the_largest_and_of_equals_the_first(chooser: TokenChooser, logits: Logits) -> None:
    logits[0, [90, 7]] = 9.0
    expected = [7, *logits[1:].argmax(1).tolist()]
    choices = chooser.choose(logits, [sequence() for _ in range(3)])
    assert [choice.token_id for choice in choices] == expected
    assert [(choice.log_prob, choice.logits) for choice in choices] == [(None, None)] * 3


def test_a_draw_is_independent_of_the_other_rows(chooser: TokenChooser, logits: Logits) -> None:
    alone = chooser.choose(logits[1:2].copy(), [sequence(SAMPLED)])
    together = chooser.choose(logits, [sequence(), sequence(SAMPLED), sequence(SAMPLED, [Bias({3: 1.0})])])
    assert together[1].token_id == alone[0].token_id


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
def test_what_is_told_is_the_models_own(sampling: Sampling, chooser: TokenChooser, logits: Logits) -> None:
    expected, plain = log_probs(logits), logits.copy()
    best = np.argsort(-logits[0])[:5].tolist()
    edited = sequence(sampling, [forbidden(best[:3])], is_told=True)
    edited_choice, plain_choice, silent_choice = chooser.choose(
        logits, [edited, sequence(sampling, is_told=True), sequence(sampling)]
    )
    assert edited_choice.token_id not in best[:3]
    logits[:] = 0
    for row, choice in enumerate([edited_choice, plain_choice]):
        assert choice.log_prob == pytest.approx(expected[row, choice.token_id], abs=1e-5)
        assert np.array_equal(choice.logits, plain[row])
    assert (silent_choice.log_prob, silent_choice.logits) == (None, None)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
def test_nothing_is_chosen_when_nothing_is_allowed(
    sampling: Sampling, chooser: TokenChooser, logits: Logits
) -> None:
    stuck = sequence(sampling, [forbidden(range(VOCAB_SIZE))], is_told=True)
    stuck_choice, other_choice = chooser.choose(logits[:2], [stuck, sequence(sampling)])
    assert (stuck_choice.token_id, stuck_choice.log_prob) == (None, None)
    assert other_choice.token_id is not None


def test_prompt_scores(chooser: TokenChooser, logits: Logits) -> None:
    scores = chooser.score(logits, [5, 6, 7], 1)
    expected = log_probs(logits)
    assert [score.token_id for score in scores] == [5, 6, 7]
    assert [score.log_prob for score in scores] == pytest.approx(expected[[0, 1, 2], [5, 6, 7]], abs=1e-5)
    assert [score.top[0][0] for score in scores] == logits.argmax(1).tolist()


def test_no_rows(chooser: TokenChooser, logits: Logits) -> None:
    assert chooser.choose(logits[:0], []) == []
