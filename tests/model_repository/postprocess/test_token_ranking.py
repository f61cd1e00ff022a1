import numpy as np
import pytest
from chunk_decoder import ChunkDecoder
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from token_bytes import TokenBytes
from token_ranking import NUM_TOP, rank_tokens


def random_logits(num_rows: int, vocab_size: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 4, (num_rows, vocab_size)).astype(np.float32)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = logits.astype(np.float64)
    log_probs: NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return log_probs


@given(st.integers(1, 4), st.sampled_from([5, 20, 64, 1300, 5000, 128_256]), st.integers(0, 1000))
def test_the_likeliest_and_the_chosen(num_ids: int, vocab_size: int, seed: int) -> None:
    logits = random_logits(num_ids, vocab_size, seed)
    ids = np.random.default_rng(seed).integers(0, vocab_size, num_ids).tolist()
    ranked = rank_tokens(logits[np.newaxis], ids)
    expected = log_softmax(logits)
    width = min(NUM_TOP, vocab_size)
    assert ranked["top_log_prob_ids"].shape == ranked["top_log_probs"].shape == (1, num_ids, width)
    for row, token_id in enumerate(ids):
        best = ranked["top_log_prob_ids"][0, row]
        assert len(set(best.tolist())) == width
        assert ranked["top_log_probs"][0, row] == pytest.approx(
            np.sort(expected[row])[::-1][:width], abs=1e-4
        )
        assert ranked["top_log_probs"][0, row] == pytest.approx(expected[row, best], abs=1e-4)
        assert ranked["chosen_log_probs"][0, row] == pytest.approx(expected[row, token_id], abs=1e-4)
        if token_id in best:
            place = best.tolist().index(token_id)
            assert ranked["chosen_log_probs"][0, row] == ranked["top_log_probs"][0, row, place]


@pytest.mark.parametrize("shape", [(1, 3, 1, 200), (1, 1, 3, 200), (1, 1, 9, 200)])
def test_a_stream_and_a_whole_answer(shape: tuple[int, ...]) -> None:
    """A whole answer of TensorRT-LLM has rows for every token that was allowed."""
    logits = np.zeros(shape, np.float32)
    rows = logits.reshape(-1, 200)
    rows[[0, 1, 2], [50, 60, 70]] = 9
    ranked = rank_tokens(logits, [50, 60, 70])
    assert ranked["top_log_prob_ids"][0, :, 0].tolist() == [50, 60, 70]
    assert (ranked["chosen_log_probs"] > -0.1).all()


def test_an_impossible_token_is_told() -> None:
    logits = np.full((1, 1, 1, 3000), -np.inf, np.float32)
    logits[..., 7] = 1
    ranked = rank_tokens(logits, [8])
    assert ranked["chosen_log_probs"].tolist() == [[-np.inf]]
    assert ranked["top_log_prob_ids"][0, 0, 0] == 7
    assert ranked["top_log_probs"][0, 0, :2].tolist() == [0, -np.inf]


def test_a_lacking_row_is_refused() -> None:
    with pytest.raises(ValueError, match="1 rows for 2 ids"):
        rank_tokens(np.zeros((1, 1, 1, 100), np.float32), [1, 2])


def test_ids_beyond_the_tokenizer_are_no_candidates() -> None:
    decoder = ChunkDecoder(TokenBytes([b"%d" % index for index in range(30)], frozenset()))
    logits = np.zeros((1, 1, 1, 64), np.float32)
    logits[..., 40] = 50
    outputs = decoder.decode(np.array([[[3]]]), np.array([[1]]), (), logits)
    assert outputs["top_log_prob_ids"].max() < 30
    assert outputs["chosen_log_probs"] == pytest.approx(-np.log(30), abs=1e-5)


def test_no_ids_no_log_probs() -> None:
    decoder = ChunkDecoder(TokenBytes([b"a"], frozenset()))
    empty = np.zeros((1, 1, 0), np.int32)
    assert decoder.decode(empty, np.array([[0]]), (), np.zeros((1, 0, 1, 1), np.float32)) == {}
