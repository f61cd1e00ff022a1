from typing import Any

import numpy as np
import pytest
from contract.generation import Generation, TokenScore
from contract.response_stream import ResponseStream

from tests.model_repository.tensorrt_llm.asking import request, words
from tests.model_repository.tensorrt_llm.fake_sender import FakeSender

PROMPT = [1, 2, 3]
VOCAB_SIZE = 100
SCORES = [
    TokenScore(2, -1.5, ((4, -0.25), (2, -1.5))),
    TokenScore(3, -0.5, ((3, -0.5), (9, -2.0))),
]


def run(ids: list[int], **values: Any) -> FakeSender:
    """One step an id, until the generation is complete or the ids are at their end."""
    sender = FakeSender()
    generation = Generation(request(**values), ResponseStream("a", sender))
    generation.prompt_scores = SCORES
    generation.num_reused_blocks = 2
    for token_id in ids:
        generation.add(token_id, -0.5, np.full(VOCAB_SIZE, token_id, np.float32))
        if generation.is_complete:
            break
        generation.send_progress()
    generation.finish()
    return sender


def test_a_whole_answer_is_one_response() -> None:
    (response,) = run([7, 8]).responses
    assert response.is_final
    assert response.ids == [*PROMPT, 7, 8]
    assert {name: tensor.shape for name, tensor in response.tensors.items()} == {
        "output_ids": (1, 1, 5),
        "sequence_length": (1, 1),
    }
    assert all(tensor.dtype == np.int32 for tensor in response.tensors.values())
    assert response.tensors["sequence_length"].tolist() == [[5]]


def test_a_whole_answer_without_the_prompt() -> None:
    (response,) = run([7, 8], exclude_input_in_output=True).responses
    assert response.ids == [7, 8]


def test_a_stream_holds_new_ids_only() -> None:
    responses = run([7, 8, 9], streaming=True).responses
    assert [response.ids for response in responses] == [[7], [8], [9], []]
    assert [response.is_final for response in responses] == [False, False, False, True]
    assert [response.tensors["sequence_length"].item() for response in responses] == [1, 1, 1, 0]


@pytest.mark.parametrize("streaming", [False, True])
def test_the_end_id_is_not_returned(streaming: bool) -> None:
    sender = run([7, 8, 9], streaming=streaming, exclude_input_in_output=True, end_id=8)
    assert sender.ids == [7]
    assert sender.responses[-1].is_final


def test_a_stream_that_ends_by_its_end_id_ends_without_ids() -> None:
    final = run([7, 8], streaming=True, end_id=8).responses[-1]
    assert final.ids == []
    assert final.tensors["output_ids"].shape == (1, 1, 0)


@pytest.mark.parametrize("stop_words", [words([8, 9]), words([5], [7, 8, 9]), words([4, 9], [8, 9])])
def test_a_stop_word_is_returned_and_nothing_after_it(stop_words: Any) -> None:
    responses = run([7, 8, 9, 10], streaming=True, stop_words_list=stop_words).responses
    assert [response.ids for response in responses] == [[7], [8], [9]]
    assert responses[-1].is_final


def test_min_tokens_come_before_stop_words() -> None:
    sender = run([8, 9, 8, 9, 8, 9], streaming=True, stop_words_list=words([8, 9]), min_tokens=3)
    assert sender.ids == [8, 9, 8, 9]


def test_the_length_completes_a_text() -> None:
    assert run([7, 8, 9], request_output_len=2, exclude_input_in_output=True).ids == [7, 8]


def test_a_text_that_nothing_may_follow_is_complete() -> None:
    generation = Generation(request(), ResponseStream("a", FakeSender()))
    generation.add(None)
    assert generation.is_complete


def test_log_probs_of_all_ids_so_far_are_in_every_response() -> None:
    responses = run([7, 8, 9], streaming=True, end_id=9, return_log_probs=True).responses
    shapes = [response.tensors["output_log_probs"].shape for response in responses]
    assert shapes == [(1, 1, 1), (1, 1, 2), (1, 1, 2)]
    assert [response.tensors["cum_log_probs"].tolist() for response in responses] == [
        [[-0.5]],
        [[-1.0]],
        [[-1.0]],
    ]
    assert responses[0].tensors["output_log_probs"].dtype == np.float32


def test_logits_of_a_stream_are_those_of_its_new_ids() -> None:
    responses = run([7, 8, 9], streaming=True, end_id=9, return_generation_logits=True).responses
    rows = [response.tensors["generation_logits"] for response in responses[:2]]
    assert [row.shape for row in rows] == [(1, 1, 1, VOCAB_SIZE)] * 2
    assert [row[0, 0, 0, 0] for row in rows] == [7, 8]
    assert "generation_logits" not in responses[2].tensors


def test_logits_of_a_whole_answer() -> None:
    (whole,) = run([7, 8, 9], end_id=9, return_generation_logits=True).responses
    logits = whole.tensors["generation_logits"]
    assert (logits.shape, logits.dtype) == ((1, 1, 2, VOCAB_SIZE), np.float32)
    assert logits[0, 0, :, 0].tolist() == [7, 8]


def test_the_prompt_is_scored_once() -> None:
    first, *others = run([7, 8], streaming=True, num_prompt_log_probs=2).responses
    assert first.tensors["prompt_log_probs"].tolist() == [[-1.5, -0.5]]
    assert first.tensors["prompt_top_log_prob_ids"].tolist() == [[[4, 2], [3, 9]]]
    assert first.tensors["prompt_top_log_probs"].tolist() == [[[-0.25, -1.5], [-0.5, -2.0]]]
    assert not [name for response in others for name in response.tensors if name.startswith("prompt_")]


def test_reused_blocks_are_told_when_asked_for() -> None:
    (response,) = run([7], return_perf_metrics=True).responses
    assert response.tensors["kv_cache_reused_blocks"].tolist() == [2]


def test_counts() -> None:
    counts = {"return_num_input_tokens": True, "return_num_output_tokens": True}
    streamed = run([7, 8], streaming=True, end_id=8, **counts).responses
    assert streamed[0].tensors["num_input_tokens"].tolist() == [3]
    assert "num_input_tokens" not in streamed[1].tensors
    assert [response.tensors["num_output_tokens"].tolist() for response in streamed] == [[1], [0]]
    (whole,) = run([7, 8], **counts).responses
    assert whole.tensors["num_output_tokens"].tolist() == [5]
