"""The step as a whole, through the same tensors that Triton hands over."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from client_input import ClientError
from preprocessor import Preprocessor, dense_bias, load_preprocessor, pack_words

from tests.model_repository.preprocess.asking import SEED_CHAT, ask, prompt_ids
from tests.model_repository.preprocess.conftest import LLAMA_PARAMETERS
from tests.model_repository.preprocess.tiny_tokenizer import CONTROL

BOS = 128000


def test_the_seed_chat_has_46_tokens_with_one_bos(llama: Preprocessor) -> None:
    ids = prompt_ids(llama, messages=SEED_CHAT)
    assert len(ids) == 46
    assert ids.count(BOS) == 1


def test_the_seed_completion_has_4_tokens_with_one_bos(llama: Preprocessor) -> None:
    ids = prompt_ids(llama, text_input="Computers are")
    assert len(ids) == 4
    assert ids.count(BOS) == 1
    assert ids[0] == BOS


def test_bos_written_as_text_stays_text(llama: Preprocessor) -> None:
    ids = prompt_ids(llama, text_input="<|begin_of_text|>Computers are")
    assert ids.count(BOS) == 1
    assert max(ids[1:]) < BOS


def test_a_tokenizer_without_bos_adds_nothing(tiny: Preprocessor) -> None:
    assert len(prompt_ids(tiny, text_input="hello")) == 1


def test_prompt_ids_pass_as_they_are(llama: Preprocessor) -> None:
    assert prompt_ids(llama, prompt_ids=[1, 128009, 128255]) == [1, 128009, 128255]


def test_the_outputs_are_the_inputs_of_the_engine(llama: Preprocessor) -> None:
    outputs = ask(llama, text_input="Computers are", max_tokens=16)
    assert {name: value.tolist() for name, value in outputs.items()} == {
        "input_ids": [[128000, 59122, 388, 527]],
        "input_lengths": [[4]],
        "request_output_len": [[16]],
        "end_id": [[128009]],
        "pad_id": [[128009]],
        "stop_words_list": [[[128001, 128008], [1, 2]]],
        "bad_words_list": [[[], []]],
        "embedding_bias": [[]],
    }


def test_without_max_tokens_the_rest_of_the_window_is_asked_for(tiny: Preprocessor) -> None:
    assert ask(tiny, text_input="hello")["request_output_len"].tolist() == [[63]]


@pytest.mark.parametrize(
    ("inputs", "end_id", "stop_words"),
    [
        ({}, 128009, [[128001, 128008], [1, 2]]),
        ({"end_id": -1}, -1, [[], []]),
        ({"end_id": 5}, 5, [[], []]),
        ({"end_id": -1, "stop_words": ["<|eom_id|>", ""]}, -1, [[128008], [1]]),
        ({"end_id": -1, "stop_words": ["Hello", " world"]}, -1, [[9906, 1917], [1, 2]]),
        ({"stop_words": ["\n\nHello"]}, 128009, [[128001, 128008, 271, 9906], [1, 2, 4, -1]]),
    ],
)
def test_what_ends_the_text(
    llama: Preprocessor, inputs: dict[str, Any], end_id: int, stop_words: list[list[int]]
) -> None:
    outputs = ask(llama, text_input="Hi", **inputs)
    assert outputs["end_id"].tolist() == [[end_id]]
    assert outputs["stop_words_list"].tolist() == [stop_words]


def test_biases_are_dense(tiny: Preprocessor) -> None:
    bias = ask(
        tiny, text_input="hello", embedding_bias_words=["hello", "hello"], embedding_bias_weights=[1.5, 2.0]
    )
    hello = prompt_ids(tiny, text_input="hello")[0]
    (dense,) = bias["embedding_bias"].tolist()
    assert dense[hello] == 3.5
    assert sum(map(bool, dense)) == 1


LONG = "This model's maximum context length is 64 tokens. However, "


@pytest.mark.row(25, 34)
@pytest.mark.parametrize(
    ("inputs", "message", "param"),
    [
        (
            {"prompt_ids": [5] * 64},
            LONG + "your prompt resulted in 64 tokens. Please reduce the length of the prompt.",
            "prompt",
        ),
        (
            {"text_input": "1" * 64},
            LONG + "your prompt resulted in at least 64 tokens. Please reduce the length of the prompt.",
            "prompt",
        ),
        (
            {"messages": [{"role": "user", "content": "1" * 48}]},
            LONG + "your messages resulted in 67 tokens. Please reduce the length of the messages.",
            "messages",
        ),
        (
            {"text_input": "hello", "max_tokens": 64},
            LONG + "you requested 65 tokens (1 in the prompt, 64 in the completion). "
            "Please reduce the length of the prompt or completion.",
            "max_tokens",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_openai_s_words(
    tiny: Preprocessor, inputs: dict[str, Any], message: str, param: str
) -> None:
    with pytest.raises(ClientError) as refused:
        ask(tiny, **inputs)
    assert (refused.value.message, refused.value.param) == (message, param)
    assert refused.value.code == "context_length_exceeded"


def test_what_just_fits_is_accepted(tiny: Preprocessor) -> None:
    assert ask(tiny, prompt_ids=[5] * 63)["request_output_len"].tolist() == [[1]]
    assert ask(tiny, text_input="hello", max_tokens=63)["request_output_len"].tolist() == [[63]]


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        ({}, "prompt"),
        ({"text_input": "a", "prompt_ids": [5]}, "prompt"),
        ({"text_input": "a", "messages": SEED_CHAT}, "prompt"),
        ({"text_input": ""}, "prompt"),
        ({"text_input": b"\xff"}, "prompt"),
        ({"prompt_ids": []}, "prompt"),
        ({"prompt_ids": [-1]}, "prompt"),
        ({"prompt_ids": [100_000]}, "prompt"),
        ({"text_input": "a", "tools": []}, "tools"),
        ({"text_input": "a", "max_tokens": 0}, "max_tokens"),
        ({"text_input": "a", "max_tokens": -1}, "max_tokens"),
        ({"text_input": "a", "end_id": -2}, "end_id"),
        ({"text_input": "a", "end_id": 100_000}, "end_id"),
        ({"text_input": "a", "pad_id": 100_000}, "pad_id"),
        ({"text_input": "a", "stop_words": [b"\xff"]}, "stop_words"),
        ({"text_input": "a", "embedding_bias_words": ["a"]}, "embedding_bias_weights"),
        (
            {"text_input": "a", "embedding_bias_words": ["a"], "embedding_bias_weights": [float("nan")]},
            "embedding_bias_weights",
        ),
        ({"messages": b"\xff"}, "messages"),
        ({"messages": "[{"}, "messages"),
        ({"messages": "[" * 100_000}, "messages"),
        (
            {"messages": SEED_CHAT, "add_generation_prompt": True, "continue_final_message": True},
            "continue_final_message",
        ),
    ],
)
def test_a_bad_request_names_its_field(tiny: Preprocessor, inputs: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientError) as refused:
        ask(tiny, **inputs)
    assert refused.value.param == param
    assert refused.value.code is None


def test_several_prompts_in_one_request_are_refused(tiny: Preprocessor) -> None:
    two = {name: value.repeat(2, axis=0) for name, value in ask(tiny, text_input="a").items()}
    with pytest.raises(ClientError, match="one prompt per request"):
        tiny.prepare({"prompt_ids": two["input_ids"]})


@pytest.mark.row(34)
@pytest.mark.parametrize("text", ["a" * 8_000_000, " " * 20_000_000, "<" * 8_000_000, "é" * 4_000_000])
def test_megabytes_are_refused_without_tokenizing(llama: Preprocessor, text: str) -> None:
    """A lower bound was not counted by the tokenizer, which takes a second per megabyte."""
    for inputs in ({"text_input": text}, {"messages": [{"role": "user", "content": f"x{text}x"}]}):
        with pytest.raises(ClientError, match="resulted in at least"):
            ask(llama, **inputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine_dir": "elsewhere"}, r"elsewhere.*is missing: run `make build-engines`"),
        ({"max_model_len": "many"}, "max_model_len must be a whole number of at least 2, not 'many'"),
        ({"max_model_len": "1"}, "max_model_len"),
        ({"end_id": "-1"}, "end_id"),
        ({"end_id": "99999"}, "end_id or stop_ids has 99999"),
        ({"stop_ids": "0;1"}, "stop_ids"),
        ({"stop_ids": "0,99999"}, "end_id or stop_ids has 99999"),
        ({"today_date": "2024-07-26"}, "today_date must be like 26 Jul 2024, or today, not '2024-07-26'"),
    ],
)
def test_a_wrong_parameter_stops_the_load(
    tiny_parameters: dict[str, str], tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_preprocessor(tiny_parameters | changes, tmp_path)


@pytest.mark.parametrize("name", LLAMA_PARAMETERS)
def test_a_missing_parameter_stops_the_load(
    tiny_parameters: dict[str, str], tmp_path: Path, name: str
) -> None:
    del tiny_parameters[name]
    with pytest.raises(ValueError, match=f"The parameter {name} of preprocess is missing"):
        load_preprocessor(tiny_parameters, tmp_path)


def test_no_stop_ids_are_an_empty_list(tiny_parameters: dict[str, str], tmp_path: Path) -> None:
    tiny = load_preprocessor(tiny_parameters | {"stop_ids": ""}, tmp_path)
    assert ask(tiny, text_input="a")["stop_words_list"].tolist() == [[[], []]]


def test_a_prompt_that_is_only_counted_may_pass_the_window(tiny: Preprocessor) -> None:
    window = len(prompt_ids(tiny, text_input="hello")) + 63
    assert len(prompt_ids(tiny, text_input="hello " * 10 * window, tokenize_only=True)) > window
    with pytest.raises(ClientError, match="maximum context length"):
        ask(tiny, text_input="hello " * 100 * window, tokenize_only=True)


def test_an_answer_may_fill_the_window(tiny: Preprocessor) -> None:
    with pytest.raises(ClientError, match="maximum context length"):
        ask(tiny, text_input="hello", max_tokens=32000)
    room = ask(tiny, text_input="hello")["request_output_len"]
    assert ask(tiny, text_input="hello", max_tokens=32000, fill_window=True)["request_output_len"] == room
    assert ask(tiny, text_input="hello", max_tokens=3, fill_window=True)["request_output_len"] == 3


def test_what_stands_before_every_text_may_be_left_out(llama: Preprocessor) -> None:
    [begin, *ids] = prompt_ids(llama, text_input="hello")
    assert prompt_ids(llama, text_input="hello", add_special_tokens=False) == ids
    assert prompt_ids(llama, text_input="hello", add_special_tokens=True) == [begin, *ids]


def test_of_a_long_prompt_the_end_remains(tiny: Preprocessor) -> None:
    text = "hello world " * 100
    whole = prompt_ids(tiny, text_input=text, tokenize_only=True)
    assert prompt_ids(tiny, text_input=text, truncate_prompt_tokens=5) == whole[-5:]
    window = len(prompt_ids(tiny, text_input=text, truncate_prompt_tokens=-1, max_tokens=10)) + 10
    assert len(prompt_ids(tiny, text_input=text, truncate_prompt_tokens=-1)) == window - 1
    with pytest.raises(ClientError, match="truncate_prompt_tokens"):
        ask(tiny, text_input=text, truncate_prompt_tokens=0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [[], []]),
        ([[]], [[], []]),
        ([[5, 6], [7]], [[5, 6, 7], [2, 3, -1]]),
        ([[5], [6]], [[5, 6], [1, 2]]),
        ([[], [5, 6, 7], []], [[5, 6, 7], [3, -1, -1]]),
    ],
)
def test_words_are_packed_with_their_end_offsets(words: list[list[int]], expected: list[list[int]]) -> None:
    packed = pack_words(words)
    assert packed.shape == (2, len(expected[0]))
    assert packed.tolist() == expected


@pytest.mark.parametrize(
    ("words", "weights", "expected"),
    [
        ([], [], []),
        ([[1]], [2.0], [0, 2, 0, 0]),
        ([[1, 3], [3]], [2.0, -0.5], [0, 2, 0, 1.5]),
        ([[]], [2.0], [0, 0, 0, 0]),
    ],
)
def test_weights_are_added_at_the_ids(
    words: list[list[int]], weights: list[float], expected: list[float]
) -> None:
    assert dense_bias(words, weights, np.zeros(4, np.float32)).tolist() == expected


@pytest.mark.parametrize("words", [{}, {"logit_bias_ids": [5], "logit_bias_values": [2.0]}])
def test_what_pads_the_vocabulary_is_forbidden(
    words: dict[str, Any], tiny_parameters: dict[str, str], tmp_path: Path
) -> None:
    padded = load_preprocessor(tiny_parameters | {"logits_size": "384"}, tmp_path)
    [bias] = ask(padded, text_input="hello", **words)["embedding_bias"].tolist()
    num_tokens = len(CONTROL) + 256 + 7
    assert bias[:num_tokens] == [2.0 if words and index == 5 else 0.0 for index in range(num_tokens)]
    assert len(bias) == 384
    assert max(bias[num_tokens:]) < -1e8
