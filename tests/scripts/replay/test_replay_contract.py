"""The engine against the contract of TensorRT-LLM 1.2's C++ backend, quirk by quirk."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.model_repository.tensorrt_llm.fake_sender import FakeSender
from tests.scripts.replay.asking import OUTPUTS, Asking, replay_engine, word_list
from tests.scripts.replay.tiny_vocabulary import END_ID, FIRST_WORD_ID, STOP_ID, VOCAB_SIZE

PROMPT = [5, 6, 7]
IN_EXECUTOR = r"Executor failed process requestId \d+ due to the following error: "
WHEN_FETCHED = IN_EXECUTOR + "Encountered an error when fetching new request: "


@pytest.fixture
def answer(engine: Asking) -> list[int]:
    """The eight ids of the greedy answer."""
    return engine.ask(exclude_input_in_output=True).ids


@pytest.fixture(scope="module")
def short(folder: Path) -> Iterator[Asking]:
    """Its texts want to end after five ids."""
    with replay_engine(folder, answer_length="5") as asking:
        yield asking


@pytest.fixture(scope="module")
def gathering(folder: Path) -> Iterator[Asking]:
    """It was built to return the logits of what it generates."""
    with replay_engine(folder, gather_generation_logits="true", answer_length="5") as asking:
        yield asking


PERF_METRICS = {
    "kv_cache_alloc_new_blocks",
    "kv_cache_reused_blocks",
    "kv_cache_alloc_total_blocks",
    "arrival_time_ns",
    "first_scheduled_time_ns",
    "first_token_time_ns",
    "last_token_time_ns",
    "acceptance_rate",
    "total_accepted_draft_tokens",
    "total_draft_tokens",
}


def assert_error(sender: FakeSender, text: str) -> None:
    assert sender.failure is not None
    assert re.match(text, sender.failure), sender.failure


class TestIds:
    def test_a_whole_answer_repeats_the_prompt(self, engine: Asking, answer: list[int]) -> None:
        (response,) = engine.ask().responses
        assert response.is_final
        assert response.tensors["output_ids"].shape == (1, 1, 11)
        assert response.ids == PROMPT + answer
        assert response.value("sequence_length") == 11

    def test_a_stream_never_does(self, engine: Asking, answer: list[int]) -> None:
        sender = engine.ask(streaming=True, exclude_input_in_output=False)
        assert sender.ids == answer
        assert [response.is_final for response in sender.responses] == [False] * 7 + [True]
        assert {response.value("sequence_length") for response in sender.responses} == {1}

    def test_exclude_input_in_output_can_be_the_default(self, folder: Path, answer: list[int]) -> None:
        with replay_engine(folder, exclude_input_in_output="true") as engine:
            assert engine.ask().ids == answer
            assert engine.ask(exclude_input_in_output=False).ids == PROMPT + answer

    def test_tokens_may_come_together(self, folder: Path, answer: list[int]) -> None:
        with replay_engine(folder, tokens_per_response="3") as engine:
            sender = engine.ask(streaming=True)
        assert [len(response.ids) for response in sender.responses] == [3, 3, 2]
        assert sender.ids == answer

    def test_the_length_is_cut_to_the_window(self, engine: Asking) -> None:
        assert len(engine.ask(input_ids=[5] * 60, request_output_len=100, streaming=True).ids) == 4

    def test_sequences_are_written_in_turn(self, engine: Asking) -> None:
        both = {
            "input_lengths": np.array([3, 3], np.int32),
            "request_output_len": np.array([8, 8], np.int32),
            "streaming": np.array([True, True]),
        }
        sender = engine.ask(input_ids=np.array([PROMPT, PROMPT], np.int32), **both)
        assert [response.value("batch_index") for response in sender.responses] == [0, 1] * 8

    def test_a_batch_is_one_request_a_sample(self, engine: Asking, answer: list[int]) -> None:
        prompts = np.array([[5, 6, 7, 99], [5, 6, 8, 9]], np.int32)
        both = {"input_lengths": np.array([3, 4], np.int32), "request_output_len": np.array([8, 2], np.int32)}
        sender = engine.ask(input_ids=prompts, **both)
        by_index = {response.value("batch_index"): response for response in sender.responses}
        assert by_index[0].ids == PROMPT + answer
        assert by_index[1].ids[:4] == [5, 6, 8, 9]
        assert [response.is_final for response in sender.responses] == [False, True]


class TestEnd:
    def test_the_end_id_is_not_returned_and_leaves_an_empty_response(self, short: Asking) -> None:
        sender = short.ask(streaming=True, end_id=END_ID)
        assert [len(response.ids) for response in sender.responses] == [1, 1, 1, 1, 1, 0]
        assert sender.responses[-1].is_final
        assert sender.responses[-1].tensors["output_ids"].shape == (1, 1, 0)
        assert sender.responses[-1].value("sequence_length") == 0
        assert len(short.ask(end_id=END_ID, exclude_input_in_output=True).ids) == 5

    def test_the_end_id_may_come_together_with_tokens(self, folder: Path) -> None:
        with replay_engine(folder, answer_length="5", tokens_per_response="2") as engine:
            sender = engine.ask(streaming=True, end_id=END_ID)
        assert [len(response.ids) for response in sender.responses] == [2, 2, 1]

    @pytest.mark.parametrize("end", [{}, {"end_id": -1}])
    def test_without_an_end_id_only_the_length_ends(self, short: Asking, end: dict[str, int]) -> None:
        assert len(short.ask(streaming=True, **end).ids) == 8

    def test_at_the_length_there_is_no_empty_response(self, short: Asking) -> None:
        sender = short.ask(streaming=True, end_id=END_ID, request_output_len=5)
        assert [len(response.ids) for response in sender.responses] == [1] * 5

    def test_min_tokens_put_the_end_off(self, short: Asking) -> None:
        assert len(short.ask(streaming=True, end_id=END_ID, min_tokens=7).ids) == 7

    @pytest.mark.parametrize("length", [1, 2, 3])
    def test_a_stop_word_is_returned(self, engine: Asking, answer: list[int], length: int) -> None:
        words = word_list([STOP_ID], answer[5 - length : 5])
        sender = engine.ask(streaming=True, stop_words_list=words)
        assert sender.ids == answer[:5]
        assert sender.responses[-1].is_final
        assert len(sender.responses) == 5

    def test_stop_words_wait_for_min_tokens(self, engine: Asking, answer: list[int]) -> None:
        sender = engine.ask(streaming=True, stop_words_list=word_list(answer[1:2]), min_tokens=4)
        assert sender.ids == answer

    def test_bad_words_and_bias(self, engine: Asking, answer: list[int]) -> None:
        assert answer[0] not in engine.ask(streaming=True, bad_words_list=word_list(answer[:1])).ids
        bias = np.zeros((1, VOCAB_SIZE), np.float32)
        bias[0, 42] = 100
        assert engine.ask(streaming=True, embedding_bias=bias).ids == [42] * 8
        assert engine.ask(streaming=True, embedding_bias=np.empty((1, 0), np.float32)).ids == answer


class TestSampling:
    @pytest.mark.parametrize(
        "tensors",
        [
            {"runtime_top_k": 1},
            {"runtime_top_k": 1, "runtime_top_p": 0.5, "seed": 3},
            {"temperature": 1.5},
            {"runtime_top_p": 0.0, "temperature": 1.5},
            {"runtime_top_p": -1.0},
            {"temperature": 0.0, "runtime_top_p": 1.0},
            {"seed": 7},
        ],
    )
    def test_greedy(self, engine: Asking, answer: list[int], tensors: dict[str, Any]) -> None:
        assert engine.ask(streaming=True, **tensors).ids == answer

    def test_the_seed_decides_and_is_0_for_all_who_send_none(self, engine: Asking) -> None:
        hot: dict[str, Any] = {"streaming": True, "runtime_top_p": 1.0}
        by_seed = [engine.ask(**hot, seed=seed).ids for seed in (0, 1, 2)]
        assert len({tuple(ids) for ids in by_seed}) == 3
        assert engine.ask(**hot).ids == by_seed[0]

    def test_several_sequences_are_misread_as_something_else(self, engine: Asking, answer: list[int]) -> None:
        (response,) = engine.ask(num_return_sequences=3, exclude_input_in_output=True).responses
        assert response.ids == answer
        assert "sequence_index" not in response.tensors


class TestOptionalOutputs:
    def test_nothing_that_was_not_asked_for(self, engine: Asking) -> None:
        (response,) = engine.ask().responses
        assert set(response.tensors) == {"output_ids", "sequence_length"}

    def test_log_probs_accumulate(self, engine: Asking) -> None:
        sender = engine.ask(streaming=True, runtime_top_k=1, return_log_probs=True)
        lengths = [response.tensors["output_log_probs"].shape for response in sender.responses]
        assert lengths == [(1, 1, number) for number in range(1, 9)]
        last = sender.responses[-1].tensors
        assert (last["output_log_probs"] < 0).all()
        assert last["cum_log_probs"] == pytest.approx(last["output_log_probs"].sum())

    def test_without_a_sampling_input_they_are_zero(self, engine: Asking) -> None:
        (response,) = engine.ask(return_log_probs=True).responses
        assert response.tensors["output_log_probs"].tolist() == [[[0.0] * 8]]

    def test_normalized_over_a_single_id_they_are_zero_too(self, folder: Path) -> None:
        with replay_engine(folder, normalize_log_probs="true") as engine:
            (greedy,) = engine.ask(return_log_probs=True, runtime_top_k=1).responses
            (sampled,) = engine.ask(return_log_probs=True, runtime_top_p=1.0).responses
        assert not greedy.tensors["output_log_probs"].any()
        assert sampled.tensors["output_log_probs"].all()

    def test_perf_metrics_come_all_together(self, folder: Path) -> None:
        with replay_engine(folder, tokens_per_block="4") as engine:
            asked: dict[str, Any] = {"streaming": True, "return_perf_metrics": True, "request_output_len": 2}
            first, again, longer, other = (
                engine.ask(input_ids=ids, **asked).responses[-1]
                for ids in ([*range(10, 22)], [*range(10, 22)], [*range(10, 30)], [*range(30, 42)])
            )
        names = ("kv_cache_alloc_total_blocks", "kv_cache_alloc_new_blocks", "kv_cache_reused_blocks")
        counts = [tuple(it.value(name) for name in names) for it in (first, again, longer, other)]
        # The last id of a prompt is always computed, so that its block is never found whole.
        assert counts == [(3, 3, 0), (3, 1, 2), (5, 3, 2), (3, 3, 0)]
        assert first.tensors.keys() >= PERF_METRICS
        times = [
            first.value(f"{name}_time_ns")
            for name in ("arrival", "first_scheduled", "first_token", "last_token")
        ]
        assert times == sorted(times)

    def test_counts(self, engine: Asking) -> None:
        counts = {"return_num_input_tokens": True, "return_num_output_tokens": True}
        for response in engine.ask(streaming=True, **counts).responses:
            assert (response.value("num_input_tokens"), response.value("num_output_tokens")) == (3, 1)
        (whole,) = engine.ask(**counts).responses
        assert whole.value("num_output_tokens") == 11

    def test_log_probs_only_when_named_and_perf_metrics_always(self, engine: Asking) -> None:
        asked = {"return_log_probs": True, "return_perf_metrics": True}
        (response,) = engine.ask(wanted=("output_ids", "sequence_length"), **asked).responses
        assert set(response.tensors) == {"output_ids", "sequence_length", *PERF_METRICS}

    @pytest.mark.parametrize("missing", ["output_ids", "sequence_length"])
    def test_two_outputs_must_be_asked_for(self, engine: Asking, missing: str) -> None:
        sender = engine.ask(wanted=tuple(name for name in OUTPUTS if name != missing))
        assert sender.failure == (
            f"Error encountered while populating response: {missing} tensor must be present in list of output"
            " tensors"
        )

    def test_outputs_are_missed_at_the_first_response_only(self, engine: Asking) -> None:
        too_long = engine.ask(wanted=(), input_ids=[10] * 100)
        assert_error(too_long, WHEN_FETCHED + r"Prompt length \(100\)")


class TestGenerationLogits:
    def test_the_engine_must_be_built_for_them(self, engine: Asking) -> None:
        assert_error(engine.ask(return_generation_logits=True), WHEN_FETCHED + "To return generation logits")

    def test_streamed_by_token(self, gathering: Asking) -> None:
        asked: dict[str, Any] = {"runtime_top_k": 1, "end_id": END_ID, "streaming": True}
        sender = gathering.ask(**asked, return_generation_logits=True, return_log_probs=True)
        shapes = [response.tensors["generation_logits"].shape for response in sender.responses]
        assert shapes == [(1, 1, 1, VOCAB_SIZE)] * 5 + [(1, 0, 1, VOCAB_SIZE)]
        for place, response in enumerate(sender.responses[:-1]):
            row = response.tensors["generation_logits"].ravel().astype(np.float64)
            log_probs = row - np.log(np.exp(row).sum())
            assert row.argmax() == response.ids[0]
            assert log_probs.max() == pytest.approx(
                response.tensors["output_log_probs"][0, 0, place], abs=1e-3
            )

    def test_whole_with_a_row_for_every_token_that_was_allowed(self, gathering: Asking) -> None:
        (response,) = gathering.ask(end_id=END_ID, return_generation_logits=True).responses
        logits = response.tensors["generation_logits"]
        assert logits.shape == (1, 1, 8, VOCAB_SIZE)
        assert logits[0, 0, :5].argmax(axis=-1).tolist() == response.ids[3:]
        assert not logits[0, 0, 5:].any()


class TestGuides:
    @pytest.mark.parametrize(
        ("kind", "guide", "text"),
        [
            (b"regex", b"[xy]{3}", "xxx"),
            (b"ebnf_grammar", b'root ::= "no" | "yes"', "no"),
            (b"json", b"", "{"),
        ],
    )
    def test_obeyed(self, short: Asking, kind: bytes, guide: bytes, text: str) -> None:
        guided = {"guided_decoding_guide_type": kind, "guided_decoding_guide": guide}
        ids = short.ask(streaming=True, end_id=END_ID, request_output_len=40, **guided).ids
        # Every byte is a token of its own, two control tokens before them.
        written = "".join(chr(index - 2) for index in ids if index < FIRST_WORD_ID)
        assert written.startswith(text)

    def test_an_unknown_type_is_not_seen(self, engine: Asking, answer: list[int]) -> None:
        guided = {"guided_decoding_guide_type": b"xml", "guided_decoding_guide": b"x"}
        assert engine.ask(streaming=True, **guided).ids == answer

    def test_one_that_does_not_compile_ends_every_request(self, folder: Path) -> None:
        with replay_engine(folder, tokens_per_second="5") as engine:
            bystander = engine.start(streaming=True)
            guided = {"guided_decoding_guide_type": b"regex", "guided_decoding_guide": b"("}
            for sender in (engine.ask(**guided), bystander.wait()):
                assert_error(sender, IN_EXECUTOR + "Encountered an error in forwardAsync function")


class TestStop:
    @pytest.fixture
    def slow(self, folder: Path) -> Iterator[Asking]:
        with replay_engine(folder, tokens_per_second="20") as asking:
            yield asking

    def test_ends_the_request_of_the_id(self, slow: Asking) -> None:
        streaming = slow.start(request_id="a", streaming=True, request_output_len=60)
        other = slow.start(request_id="b", streaming=True, request_output_len=4)
        streaming.wait_for_a_response()
        stop = slow.ask(request_id="a", stop=True)
        assert (stop.is_closed, stop.responses, stop.failure) == (True, [], None)
        streaming.wait()
        assert 0 < len(streaming.ids) < 60
        assert streaming.responses[-1].is_final
        assert len(other.wait().ids) == 4

    def test_of_a_whole_answer_gives_what_there_is(self, slow: Asking) -> None:
        first = slow.start(request_id="first", streaming=True, request_output_len=60)
        whole = slow.start(request_id="whole", request_output_len=60)
        for _ in range(2):
            first.wait_for_a_response()
            first.first_response.clear()
        slow.ask(request_id="whole", stop=True)
        assert len(PROMPT) <= len(whole.wait().ids) < 60
        slow.ask(request_id="first", stop=True)

    def test_of_an_unknown_id(self, engine: Asking) -> None:
        stop = engine.ask(request_id="never-seen", stop=True)
        assert (stop.is_closed, stop.failure) == (True, None)

    def test_needs_an_id(self, engine: Asking) -> None:
        assert engine.ask(stop=True).failure == "Trying to stop a request but request ID is not provided"

    def test_a_used_id_belongs_to_the_later_request(self, slow: Asking) -> None:
        earlier = slow.start(request_id="same", streaming=True, request_output_len=6)
        later = slow.start(request_id="same", streaming=True, request_output_len=60)
        slow.ask(request_id="same", stop=True)
        assert len(later.wait().ids) < 60
        assert len(earlier.wait().ids) == 6

    def test_a_client_that_left_ends_it_too(self, slow: Asking) -> None:
        sender = slow.start(streaming=True, request_output_len=60)
        sender.has_left = True
        assert len(sender.wait().ids) < 60


class TestAdapters:
    def test_known_unknown_and_brought_along(self, folder: Path, answer: list[int]) -> None:
        with replay_engine(folder, lora_task_ids="3,4") as engine:
            assert engine.ask(streaming=True, lora_task_id=3).ids not in ([], answer)
            text = "LoRA task 9 not found in cache. Please send LoRA weights with request"
            assert_error(engine.ask(lora_task_id=9), IN_EXECUTOR + text)
            weights = {
                "lora_weights": np.zeros((1, 1, 4), np.float16),
                "lora_config": np.zeros((1, 1, 3), np.int32),
            }
            assert engine.ask(lora_task_id=9, **weights).ids
            assert engine.ask(lora_task_id=9).ids


class TestQueue:
    def test_waits_for_a_place_and_is_full_at_its_bound(self, folder: Path) -> None:
        with replay_engine(folder, 1, max_num_seqs="1", tokens_per_second="20") as engine:
            running = engine.start(streaming=True, request_output_len=6)
            waiting = engine.start(request_id="waiting", streaming=True, request_output_len=3)
            refused = engine.ask()
            assert refused.failure == "Maximum queue size of 1 has been reached, please try again later"
            assert not waiting.responses
            running.wait()
            assert len(waiting.wait().ids) == 3

    def test_what_waits_can_be_stopped(self, folder: Path) -> None:
        with replay_engine(folder, max_num_seqs="1", tokens_per_second="20") as engine:
            running = engine.start(streaming=True, request_output_len=6)
            waiting = engine.start(request_id="waiting", streaming=True)
            engine.ask(request_id="waiting", stop=True)
            assert waiting.wait().ids == []
            assert len(running.wait().ids) == 6


class TestRefusals:
    @pytest.mark.parametrize(
        ("tensors", "text"),
        [
            ({"input_ids": None}, "inputTokens or encoderInputFeatures tensor not provided"),
            ({"input_ids": []}, "!mInputTokenIds.empty()"),
            ({"request_output_len": 0}, "mMaxNewTokens > 0"),
            ({"runtime_top_k": -1}, "topK.value() >= 0"),
            ({"runtime_top_p": 1.5}, "topP.value() <= 1.f"),
            ({"runtime_top_p": float("nan")}, "topP.value() <= 1.f"),
            ({"temperature": -0.5}, "temperature.value() >= 0.f"),
            ({"repetition_penalty": 0.0}, "repetitionpenalty.value() > 0.f"),
            ({"min_tokens": -1}, "minTokens.value() >= 0"),
            ({"beam_width": 0}, "beamWidth > 0"),
            ({"num_return_sequences": -1}, "noRepeatNgramSize.value() >= 0"),
            ({"len_penalty": -1.0}, "promptIgnoreLength.value() >= 0"),
            ({"stop_words_list": np.array([[[5, 6], [2, 1]]], np.int32)}, "non-increasing offsets"),
            ({"stop_words_list": np.array([[[5, 6], [3, -1]]], np.int32)}, "out-of-bound offsets"),
            ({"bad_words_list": np.array([[[5, 6], [-1, 1]]], np.int32)}, "additional -1s"),
        ],
    )
    def test_before_the_executor(self, engine: Asking, tensors: dict[str, Any], text: str) -> None:
        sender = engine.ask(**tensors)
        assert sender.failure is not None
        assert text in sender.failure
        assert "Executor failed" not in sender.failure

    @pytest.mark.parametrize(
        ("tensors", "text"),
        [
            ({"input_ids": [5] * 64}, r"Prompt length \(64\) exceeds maximum input length \(63\)"),
            ({"end_id": VOCAB_SIZE}, r"EndId \(\d+\) is not within acceptable range"),
            ({"return_context_logits": True}, "Return context logit need to build engine"),
        ],
    )
    def test_by_the_executor(self, engine: Asking, tensors: dict[str, Any], text: str) -> None:
        assert_error(engine.ask(**tensors), WHEN_FETCHED + text)

    def test_a_bias_of_another_size_ends_every_request(self, folder: Path) -> None:
        with replay_engine(folder, tokens_per_second="5") as engine:
            bystander = engine.start(streaming=True)
            bad = engine.ask(embedding_bias=np.zeros((1, 5), np.float32))
            for sender in (bad, bystander.wait()):
                assert_error(sender, IN_EXECUTOR + "Encountered an error in forwardAsync function")
            assert engine.ask(request_output_len=1).ids

    def test_bad_requests_do_not_touch_the_good_one(self, engine: Asking, answer: list[int]) -> None:
        bad = [engine.start(runtime_top_k=-1) for _ in range(50)]
        good = engine.start(streaming=True)
        bad += [engine.start(input_ids=[5] * 64) for _ in range(50)]
        assert good.wait().ids == answer
        assert all(sender.wait().failure for sender in bad)

    def test_a_lost_response_ends_that_answer_alone(self, engine: Asking, answer: list[int]) -> None:
        sender = engine.start(streaming=True, request_output_len=60)
        sender.loses_responses = True
        assert engine.ask(streaming=True).ids == answer

    def test_what_no_check_foresees_is_an_error_of_that_request(self, engine: Asking) -> None:
        assert engine.ask(request_output_len=np.array([1, 2], np.int32)).failure
