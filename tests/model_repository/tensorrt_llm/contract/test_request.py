import json
import math
from typing import Any

import numpy as np
import pytest
from contract.request import read_request
from contract.tensors import InvalidInput

from tests.model_repository.tensorrt_llm.asking import LIMITS, edits, request, tensors, words

NAN = math.nan
INFINITY = math.inf


def test_defaults() -> None:
    asked = request()
    assert asked.prompt_ids == [1, 2, 3]
    assert edits() == ()
    assert asked.max_new_tokens == 8
    assert asked.min_new_tokens == 0
    assert asked.end_id is None
    assert asked.stop_words == ()
    assert asked.sampling.is_greedy
    assert not asked.is_streaming
    assert asked.repeats_prompt
    assert not asked.returns_log_probs


def test_tensors_that_hold_nothing_count_as_absent() -> None:
    empty = np.empty((1, 0), np.int32)
    asked = request(end_id=empty, min_tokens=empty, streaming=empty, bad_words_list=empty)
    assert repr(asked) == repr(request())
    assert edits(bad_words_list=empty) == ()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, True),
        ({"exclude_input_in_output": True}, False),
        ({"streaming": True}, False),
        ({"streaming": True, "exclude_input_in_output": False}, False),
    ],
)
def test_who_gets_the_prompt_back(flags: dict[str, Any], expected: bool) -> None:
    assert request(**flags).repeats_prompt is expected


@pytest.mark.parametrize(("end_id", "expected"), [(-1, None), (0, 0), (99, 99)])
def test_end_id(end_id: int, expected: int | None) -> None:
    assert request(end_id=end_id).end_id == expected


@pytest.mark.parametrize(("length", "wanted", "expected"), [(3, 61, 61), (3, 62, 61), (63, 1000, 1)])
def test_the_output_is_cut_to_the_window(length: int, wanted: int, expected: int) -> None:
    assert request([1] * length, request_output_len=wanted, min_tokens=wanted).max_new_tokens == expected
    assert request([1] * length, request_output_len=wanted, min_tokens=wanted).min_new_tokens == expected


@pytest.mark.parametrize("length", [64, 65])
def test_a_prompt_without_room_behind_it_is_refused(length: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        request([1] * length)
    error = json.loads(str(caught.value))
    assert error["param"] == "input_ids"
    assert error["code"] == "context_length_exceeded"
    assert "64" in error["message"]


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("input_ids", np.empty((1, 0), np.int32)),
        ("input_ids", np.array([[1, 100]])),
        ("input_ids", np.array([[-1]])),
        ("input_ids", np.array([[1], [2]])),
        ("input_ids", np.array([1, 2])),
        ("request_output_len", 0),
        ("request_output_len", -3),
        ("request_output_len", np.array([4, 4])),
        ("end_id", -2),
        ("end_id", 100),
        ("min_tokens", -1),
        ("min_tokens", 9),
        ("stop_words_list", words([100])),
        ("embedding_bias", np.zeros((1, 99), np.float32)),
        ("embedding_bias", np.full((1, 100), np.nan, np.float32)),
        ("num_prompt_log_probs", 65),
        ("num_prompt_log_probs", -2),
        ("beam_width", 2),
        ("beam_width", 0),
        ("num_return_sequences", 2),
        ("len_penalty", 0.5),
        ("len_penalty", NAN),
        ("return_context_logits", True),
        ("temperature", NAN),
        ("temperature", INFINITY),
        ("temperature", -0.1),
        ("runtime_top_k", -1),
        ("runtime_top_p", NAN),
        ("runtime_top_p", -INFINITY),
        ("runtime_top_p", 1.01),
        ("min_p", NAN),
        ("min_p", -0.1),
        ("min_p", 1.0),
        ("repetition_penalty", NAN),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", -1.0),
        ("repetition_penalty", INFINITY),
        ("repetition_penalty", 101.0),
        ("presence_penalty", NAN),
        ("presence_penalty", 2.1),
        ("frequency_penalty", -2.1),
        ("frequency_penalty", INFINITY),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(param: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        edits(**{param: value})
    error = json.loads(str(caught.value))
    assert error["param"] == param
    assert error["message"].startswith(f"{param}: ")
    assert error["message"].endswith(".")
    assert error["code"] is None


def test_input_ids_are_required() -> None:
    asked = tensors()
    del asked["input_ids"]
    with pytest.raises(InvalidInput, match="input_ids"):
        read_request(asked, LIMITS, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_width", 1),
        ("num_return_sequences", 1),
        ("len_penalty", 0.0),
        ("len_penalty", 1.0),
        ("return_context_logits", False),
        ("num_prompt_log_probs", -1),
        ("bad_words_list", np.empty((1, 2, 0), np.int32)),
        ("embedding_bias", np.empty((1, 0), np.float32)),
        ("guided_decoding_guide_type", b""),
        ("pad_id", 7),
    ],
)
def test_what_asks_for_nothing_is_taken(name: str, value: Any) -> None:
    assert repr(request(**{name: value})) == repr(request())
    assert edits(**{name: value}) == ()
