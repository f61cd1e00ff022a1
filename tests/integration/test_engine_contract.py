"""The live engine against the contract of TensorRT-LLM's C++ backend."""

import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import pytest

from tests.integration.engine_client import EngineClient, Response

# "What is machine learning?" in the chat format of SmolLM2.
PROMPT = [1, 4093, 198, 1780, 314, 3746, 1380, 47, 2, 198, 1, 520, 9531, 198]
# "What is the capital of France?"
SHORT_QUESTION = [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198]
END_ID = 2
VOCAB_SIZE = 49152

Tensors: TypeAlias = dict[str, Any]


@pytest.fixture(scope="module")
def engine(triton: str) -> Iterator[EngineClient]:
    client = EngineClient(triton)
    yield client
    client.close()


@pytest.fixture(scope="module")
def answer(engine: EngineClient) -> list[int]:
    """The first 24 ids of the greedy answer."""
    (response,) = engine.generate(input_ids=PROMPT, request_output_len=24, exclude_input_in_output=True)
    return response.ids


def stop_words(*words: list[int]) -> Any:
    ids = list(itertools.chain(*words))
    ends = list(itertools.accumulate(map(len, words)))
    return np.array([[ids, ends + [-1] * (len(ids) - len(ends))]], np.int32)


def streamed_ids(responses: list[Response]) -> list[int]:
    assert [response.is_final for response in responses] == [False] * (len(responses) - 1) + [True]
    return list(itertools.chain.from_iterable(response.ids for response in responses))


class TestWholeAnswer:
    def test_repeats_the_prompt(self, engine: EngineClient, answer: list[int]) -> None:
        (response,) = engine.generate(input_ids=PROMPT, request_output_len=24)
        assert response.is_final
        assert response.ids == PROMPT + answer
        assert response.outputs["output_ids"].shape == (1, 1, len(PROMPT) + 24)
        assert response.outputs["sequence_length"].tolist() == [[len(PROMPT) + 24]]

    def test_holds_nothing_that_was_not_asked_for(self, engine: EngineClient) -> None:
        (response,) = engine.generate(input_ids=PROMPT, request_output_len=2)
        assert set(response.outputs) == {"output_ids", "sequence_length"}

    def test_ends_before_the_end_id(self, engine: EngineClient, answer: list[int]) -> None:
        end = answer.index(answer[9])
        (response,) = engine.generate(
            input_ids=PROMPT, request_output_len=24, end_id=answer[9], exclude_input_in_output=True
        )
        assert response.ids == answer[:end]


class TestStreaming:
    def test_new_ids_only_and_the_last_response_is_final(
        self, engine: EngineClient, answer: list[int]
    ) -> None:
        responses = engine.generate(input_ids=PROMPT, request_output_len=24, streaming=True)
        assert streamed_ids(responses) == answer
        assert all(response.ids for response in responses)
        assert all(
            response.outputs["sequence_length"].tolist() == [[len(response.ids)]] for response in responses
        )

    def test_the_end_id_gives_a_final_response_without_ids(
        self, engine: EngineClient, answer: list[int]
    ) -> None:
        end = answer.index(answer[9])
        responses = engine.generate(input_ids=PROMPT, request_output_len=24, streaming=True, end_id=answer[9])
        assert streamed_ids(responses) == answer[:end]
        assert responses[-1].outputs["output_ids"].shape == (1, 1, 0)
        assert responses[-1].outputs["sequence_length"].tolist() == [[0]]

    def test_the_model_ends_by_itself(self, engine: EngineClient) -> None:
        responses = engine.generate(
            input_ids=SHORT_QUESTION, request_output_len=100, streaming=True, end_id=END_ID
        )
        ids = streamed_ids(responses)
        assert 0 < len(ids) < 100
        assert END_ID not in ids
        assert responses[-1].ids == []

    @pytest.mark.parametrize("end_id", [{}, {"end_id": -1}])
    def test_without_an_end_id_only_the_length_ends(
        self, engine: EngineClient, end_id: dict[str, int]
    ) -> None:
        responses = engine.generate(input_ids=PROMPT, request_output_len=300, streaming=True, **end_id)
        assert len(streamed_ids(responses)) == 300


class TestStopWords:
    @pytest.mark.parametrize("length", [1, 2, 5])
    def test_the_word_is_returned(self, engine: EngineClient, answer: list[int], length: int) -> None:
        word = answer[10 - length : 10]
        responses = engine.generate(
            input_ids=PROMPT, request_output_len=24, streaming=True, stop_words_list=stop_words([7], word)
        )
        ids = streamed_ids(responses)
        assert ids[-length:] == word
        assert ids == answer[: len(ids)]
        assert len(ids) <= 10

    def test_min_tokens_come_first(self, engine: EngineClient, answer: list[int]) -> None:
        ids = streamed_ids(
            engine.generate(
                input_ids=PROMPT,
                request_output_len=24,
                streaming=True,
                end_id=answer[2],
                stop_words_list=stop_words(answer[3:5]),
                min_tokens=20,
            )
        )
        assert len(ids) >= 20


class TestOptionalOutputs:
    def test_log_probs_accumulate(self, engine: EngineClient) -> None:
        arguments: Tensors = {"input_ids": PROMPT, "request_output_len": 12, "return_log_probs": True}
        responses = engine.generate(**arguments, streaming=True)
        num_ids = 0
        for response in responses:
            num_ids += len(response.ids)
            log_probs = response.outputs["output_log_probs"]
            assert log_probs.shape == (1, 1, num_ids)
            assert (log_probs <= 0).all()
            assert response.outputs["cum_log_probs"] == pytest.approx(log_probs.sum(), rel=1e-4)
        (whole,) = engine.generate(**arguments)
        assert whole.outputs["output_log_probs"] == pytest.approx(log_probs, abs=0.05)

    def test_logits_of_the_new_ids(self, engine: EngineClient) -> None:
        arguments: Tensors = {"input_ids": PROMPT, "request_output_len": 4, "return_generation_logits": True}
        responses = engine.generate(**arguments, streaming=True)
        for response in responses:
            logits = response.outputs["generation_logits"]
            assert logits.shape == (1, len(response.ids), 1, VOCAB_SIZE)
            assert logits.reshape(-1, VOCAB_SIZE).argmax(1).tolist() == response.ids
        (whole,) = engine.generate(**arguments, exclude_input_in_output=True)
        assert whole.outputs["generation_logits"].shape == (1, 1, 4, VOCAB_SIZE)
        assert whole.outputs["generation_logits"][0, 0].argmax(1).tolist() == whole.ids

    def test_the_prompt_is_scored_in_the_first_response(self, engine: EngineClient) -> None:
        first, *others = engine.generate(
            input_ids=PROMPT, request_output_len=3, num_prompt_log_probs=4, streaming=True
        )
        num_scored = len(PROMPT) - 1
        assert first.outputs["prompt_log_probs"].shape == (1, num_scored)
        assert first.outputs["prompt_top_log_prob_ids"].shape == (1, num_scored, 4)
        top = first.outputs["prompt_top_log_probs"]
        assert (np.diff(top) <= 0).all()
        assert (first.outputs["prompt_log_probs"] <= top[..., 0] + 1e-6).all()
        assert not [name for response in others for name in response.outputs if name.startswith("prompt_")]

    def test_blocks_of_a_known_prompt_are_reused(self, engine: EngineClient) -> None:
        block = int(engine.parameter("tokens_per_block"))
        prompt = [*range(1000, 1000 + 2 * block + 1)]
        num_blocks = [
            engine.generate(input_ids=prompt, return_perf_metrics=True)[0].outputs["kv_cache_reused_blocks"]
            for _ in range(2)
        ]
        assert [count.tolist() for count in num_blocks] == [[[0]], [[2]]]

    def test_num_input_tokens_comes_first_and_num_output_tokens_is_of_the_response(
        self, engine: EngineClient
    ) -> None:
        wanted: Tensors = {"return_num_input_tokens": True, "return_num_output_tokens": True}
        responses = engine.generate(input_ids=PROMPT, request_output_len=5, streaming=True, **wanted)
        assert responses[0].outputs["num_input_tokens"].tolist() == [[len(PROMPT)]]
        for response in responses:
            assert response.outputs["num_output_tokens"].tolist() == [[len(response.ids)]]
        (whole,) = engine.generate(input_ids=PROMPT, request_output_len=5, **wanted)
        assert whole.outputs["num_output_tokens"].tolist() == [[len(PROMPT) + 5]]


class TestSampling:
    def sample(self, engine: EngineClient, **tensors: Any) -> list[int]:
        (response,) = engine.generate(
            input_ids=PROMPT, request_output_len=24, exclude_input_in_output=True, **tensors
        )
        return response.ids

    @pytest.mark.parametrize(
        "tensors",
        [
            {"runtime_top_k": 1},
            {"temperature": 0.0, "runtime_top_p": 1.0},
            {"temperature": 1.5},
            {"runtime_top_p": 0.0, "temperature": 1.5},
            {"seed": 7},
        ],
    )
    def test_greedy(self, engine: EngineClient, answer: list[int], tensors: dict[str, Any]) -> None:
        assert self.sample(engine, **tensors) == answer

    def test_the_seed_decides(self, engine: EngineClient) -> None:
        hot: Tensors = {"runtime_top_p": 1.0, "temperature": 1.5}
        by_seed = [self.sample(engine, **hot, seed=seed) for seed in (1, 2, 2**32 + 1, 2**64 - 1)]
        assert len({tuple(ids) for ids in by_seed}) == 4
        assert self.sample(engine, **hot, seed=2) == by_seed[1]

    def test_without_a_seed_it_is_zero(self, engine: EngineClient) -> None:
        hot: Tensors = {"runtime_top_p": 1.0, "temperature": 1.5}
        assert self.sample(engine, **hot) == self.sample(engine, **hot, seed=0)

    def test_each_request_of_a_batch_draws_by_its_own_seed(self, engine: EngineClient) -> None:
        """Not every draw has to be equal: in a batch, the quantized model rounds its logits otherwise."""
        request: Tensors = {"input_ids": PROMPT[:1], "request_output_len": 1, "runtime_top_k": 1000}
        alone = [engine.generate(**request, seed=seed)[0].ids for seed in range(32)]
        streams = [engine.stream(**request, seed=seed) for seed in range(32)]
        together = [response.ids for stream in streams for response in stream]
        assert len({tuple(ids) for ids in alone}) > 8
        assert sum(one == other for one, other in zip(alone, together, strict=True)) > 24

    @pytest.mark.parametrize(
        "penalty", [{"repetition_penalty": 1.8}, {"presence_penalty": 2.0}, {"frequency_penalty": 2.0}]
    )
    def test_penalties(self, engine: EngineClient, penalty: dict[str, float]) -> None:
        # Long enough for a greedy text to go round in circles.
        long: Tensors = {"input_ids": PROMPT, "request_output_len": 250, "exclude_input_in_output": True}
        (without,) = engine.generate(**long)
        (response,) = engine.generate(**long, **penalty)
        assert len(set(response.ids)) > len(set(without.ids))


class TestBatching:
    def test_a_later_request_joins_the_running_one(self, engine: EngineClient) -> None:
        long = iter(engine.stream(input_ids=PROMPT, request_output_len=300, streaming=True))
        next(long)
        (short,) = engine.generate(input_ids=PROMPT, request_output_len=3)
        assert len(short.ids) == len(PROMPT) + 3
        rest = list(long)
        assert rest[-1].is_final
        assert len(rest) > 100

    def test_stop_ends_every_request_of_the_id(self, engine: EngineClient) -> None:
        request: Tensors = {"input_ids": PROMPT, "request_output_len": 8000, "request_id": "to-stop"}
        streaming = iter(engine.stream(**request, streaming=True))
        whole = iter(engine.stream(**request))
        first = next(streaming)
        (acknowledgement,) = engine.generate(request_id="to-stop", stop=True)
        assert acknowledgement.is_final
        assert not acknowledgement.error
        assert not acknowledgement.outputs
        assert len(streamed_ids([first, *streaming])) < 8000
        (response,) = whole
        assert response.ids[: len(PROMPT)] == PROMPT
        assert len(response.ids) < 8000

    def test_stop_of_an_unknown_id(self, engine: EngineClient) -> None:
        (acknowledgement,) = engine.generate(request_id="never-seen", stop=True)
        assert acknowledgement.is_final
        assert not acknowledgement.error

    def test_stop_needs_an_id(self, engine: EngineClient) -> None:
        (response,) = engine.generate(request_id="", stop=True)
        assert response.error_body["param"] == "stop"

    def test_requests_whose_client_has_left_make_room(self, engine: EngineClient) -> None:
        places = int(engine.parameter("max_num_seqs"))
        streams = [
            engine.stream(input_ids=PROMPT, request_output_len=8000, streaming=True) for _ in range(places)
        ]
        next(iter(streams[-1]))
        for stream in streams:
            stream.leave()
        (response,) = engine.generate(input_ids=PROMPT, request_output_len=1)
        assert len(response.ids) == len(PROMPT) + 1


class TestWindow:
    def test_a_prompt_that_fills_the_window_is_refused(self, engine: EngineClient) -> None:
        window = int(engine.parameter("max_model_len"))
        (response,) = engine.generate(input_ids=[198] * window, request_output_len=1)
        assert response.error_body["param"] == "input_ids"
        assert response.error_body["code"] == "context_length_exceeded"


class TestRefusals:
    @pytest.mark.parametrize(
        ("param", "value"),
        [
            ("input_ids", [1, 49152]),
            ("input_ids", [-1]),
            ("input_ids", np.ones((2, 3), np.int32)),
            ("request_output_len", 0),
            ("end_id", 49152),
            ("stop_words_list", np.array([[[5, 6], [2, 1]]], np.int32)),
            ("bad_words_list", np.array([[[5, 6], [2, 1]]], np.int32)),
            ("embedding_bias", np.zeros((1, 49151), np.float32)),
            ("num_prompt_log_probs", 65),
            ("beam_width", 2),
            ("num_return_sequences", 2),
            ("len_penalty", 2.0),
            ("temperature", float("nan")),
            ("temperature", -0.5),
            ("runtime_top_k", -1),
            ("runtime_top_p", 1.5),
            ("runtime_top_p", float("inf")),
            ("min_p", 1.0),
            ("repetition_penalty", 0.0),
            ("presence_penalty", 2.5),
            ("frequency_penalty", float("nan")),
            ("min_tokens", 3),
            ("return_context_logits", True),
            ("guided_decoding_guide_type", "xml"),
        ],
    )
    def test_names_the_tensor(self, engine: EngineClient, param: str, value: Any) -> None:
        request: Tensors = {"input_ids": PROMPT, "request_output_len": 2, param: value}
        if param == "input_ids" and isinstance(value, np.ndarray):
            request |= {name: np.ones((2, 1), np.int32) for name in ("input_lengths", "request_output_len")}
        (response,) = engine.generate(**request)
        assert response.error_body["param"] == param
        assert response.error_body["message"].startswith(f"{param}: ")

    def test_neutral_values_of_unsupported_inputs_are_taken(self, engine: EngineClient) -> None:
        (response,) = engine.generate(
            input_ids=PROMPT,
            request_output_len=2,
            beam_width=1,
            num_return_sequences=1,
            len_penalty=1.0,
            return_context_logits=False,
            bad_words_list=np.zeros((1, 2, 0), np.int32),
            embedding_bias=np.zeros((1, 0), np.float32),
        )
        assert len(response.ids) == len(PROMPT) + 2
