from typing import Any

import pytest
from genai_config import generation_config
from openvino_genai import GenerationConfig

from tests.tensorrt_llm.asking import request, words


def config(**values: Any) -> GenerationConfig:
    made = generation_config(request(**values))
    made.validate()
    return made


@pytest.mark.parametrize(
    ("values", "stop_ids"),
    [
        ({"end_id": 7}, {7}),
        ({"stop_words_list": words([8], [9])}, {8, 9}),
        ({"end_id": 7, "stop_words_list": words([8], [9, 10])}, {7, 8}),
    ],
)
def test_ends(values: dict[str, Any], stop_ids: set[int]) -> None:
    made = config(**values, min_tokens=2)
    assert set(made.stop_token_ids) == stop_ids
    assert not made.ignore_eos
    assert made.min_new_tokens == 2


@pytest.mark.parametrize("values", [{}, {"end_id": -1}, {"stop_words_list": words([9, 10])}])
def test_no_single_id_ends(values: dict[str, Any]) -> None:
    made = config(**values, min_tokens=2)
    assert made.ignore_eos
    assert made.min_new_tokens == 0


def test_greedy_keeps_its_penalties() -> None:
    made = config(repetition_penalty=1.5, presence_penalty=0.5, frequency_penalty=-0.5)
    assert not made.do_sample
    assert (made.repetition_penalty, made.presence_penalty, made.frequency_penalty) == (1.5, 0.5, -0.5)


def test_sampling() -> None:
    made = config(temperature=0.5, runtime_top_k=40, runtime_top_p=0.75, min_p=0.25, seed=9)
    assert made.do_sample
    assert (made.temperature, made.top_k, made.top_p, made.min_p) == (0.5, 40, 0.75, 0.25)
    assert made.rng_seed == 9


def test_top_k_alone_draws_from_sorted_candidates() -> None:
    assert 0.9999999 < config(runtime_top_k=40).top_p < 1
    assert config(runtime_top_p=1.0).top_p == 1


def test_all_bits_of_a_seed_count() -> None:
    seeds = [1, 2**32 + 1, 2**63, 2**64 - 1]
    assert len({config(runtime_top_k=40, seed=seed).rng_seed % 2**32 for seed in seeds}) == len(seeds)


@pytest.mark.parametrize("wanted", [False, True])
def test_log_probs_only_when_asked_for(wanted: bool) -> None:
    assert config(return_log_probs=wanted).logprobs == wanted
