"""The contract of `tensorrt_llm` over a double: a prompt that ends with i goes on with i + 1."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llm_api_engine import LlmApiEngine

from tests.build.llm_api.conftest import Folder
from tests.model_repository.tensorrt_llm.asking import tensors, words
from tests.model_repository.tensorrt_llm.fake_sender import TIMEOUT_S, FakeSender

END_ID = 2


class Stack:
    """An engine over one double of LLM, which is `llm`."""

    def __init__(self, folder: Folder) -> None:
        import tensorrt_llm
        from llm_api_runtime import load_engine

        self.engine: LlmApiEngine = load_engine(folder.config, str(folder.model))
        self.llm: Any = tensorrt_llm.LLM.made[-1]

    def send(self, request_id: str = "1", **values: Any) -> FakeSender:
        sender = FakeSender()
        asked = {"end_id": END_ID} | values
        self.engine.accept(request_id, tensors([5, 10], **asked), sender)
        return sender

    def ask(self, **values: Any) -> FakeSender:
        sender = self.send(**values)
        sender.wait()
        return sender

    @property
    def params(self) -> Any:
        return self.llm.results[-1].params


@pytest.fixture
def stack(build: Callable[..., Folder]) -> Iterator[Stack]:
    stack = Stack(build())
    yield stack
    stack.engine.close()


@pytest.fixture
def stack_with_adapters(build: Callable[..., Folder], adapter: Path) -> Iterator[Stack]:
    stack = Stack(build(adapters=(f"a={adapter}", f"b={adapter}")))
    yield stack
    stack.engine.close()


def test_a_stream_has_each_new_id_once_and_not_the_end_id(stack: Stack) -> None:
    sender = stack.ask(streaming=True)
    assert sender.ids == [11, 12, 13, 14, 15]
    assert len(sender.responses) > 2
    assert [response.is_final for response in sender.responses[:-1]] == [False] * (len(sender.responses) - 1)
    assert sender.responses[-1].ids == []
    for response in sender.responses:
        assert response.tensors["output_ids"].shape == (1, 1, len(response.ids))
        assert response.tensors["sequence_length"].tolist() == [[len(response.ids)]]


def test_a_whole_answer_is_one_response_behind_the_prompt(stack: Stack) -> None:
    sender = stack.ask()
    assert sender.ids == [5, 10, 11, 12, 13, 14, 15]
    assert len(sender.responses) == 1


def test_the_prompt_is_left_out_when_asked(stack: Stack) -> None:
    assert stack.ask(exclude_input_in_output=True).ids == [11, 12, 13, 14, 15]


@pytest.mark.parametrize("streaming", [True, False])
def test_the_length_ends_the_text(stack: Stack, streaming: bool) -> None:
    sender = stack.ask(streaming=streaming, request_output_len=3, exclude_input_in_output=True)
    assert sender.ids == [11, 12, 13]


def test_the_length_is_cut_to_the_window(stack: Stack) -> None:
    stack.ask(request_output_len=100_000)
    assert stack.params.max_tokens == 512 - 2


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("stop", [words([13]), words([12, 13]), words([99], [12, 13])])
def test_a_stop_word_ends_the_text_and_is_returned(stack: Stack, streaming: bool, stop: Any) -> None:
    sender = stack.ask(streaming=streaming, stop_words_list=stop, exclude_input_in_output=True)
    assert sender.ids == [11, 12, 13]
    assert stack.llm.results[-1].finished


def test_stop_words_wait_for_the_least_length(stack: Stack) -> None:
    sender = stack.ask(stop_words_list=words([11], [13]), min_tokens=2, exclude_input_in_output=True)
    assert sender.ids == [11, 12, 13]


def test_log_probs_are_repeated_in_full_and_those_of_the_chosen_ids(stack: Stack) -> None:
    sender = stack.ask(streaming=True, return_log_probs=True, request_output_len=3)
    counts = [response.tensors["output_log_probs"].shape for response in sender.responses]
    assert counts == [(1, 1, 1), (1, 1, 2), (1, 1, 3)]
    assert sender.responses[-1].tensors["output_log_probs"].ravel().tolist() == [-0.5] * 3
    assert sender.responses[-1].tensors["cum_log_probs"].tolist() == [[-1.5]]


def test_no_log_probs_are_computed_that_nobody_asked_for(stack: Stack) -> None:
    sender = stack.ask()
    assert stack.params.logprobs is None
    assert "output_log_probs" not in sender.responses[0].tensors


def test_counts_and_reused_blocks_come_when_asked(stack: Stack) -> None:
    asked = ("return_num_input_tokens", "return_num_output_tokens", "return_perf_metrics")
    (response,) = stack.ask(exclude_input_in_output=True, **dict.fromkeys(asked, True)).responses
    assert response.tensors["num_input_tokens"].tolist() == [2]
    assert response.tensors["num_output_tokens"].tolist() == [5]
    # 70 ids of the double's cache are 2 whole blocks of 32.
    assert response.tensors["kv_cache_reused_blocks"].tolist() == [2]


def test_a_stream_tells_once_what_is_known_of_the_prompt(stack: Stack) -> None:
    sender = stack.ask(streaming=True, return_num_input_tokens=True, return_perf_metrics=True)
    told = [
        {"num_input_tokens", "kv_cache_reused_blocks"} & response.tensors.keys()
        for response in sender.responses
    ]
    assert told == [{"num_input_tokens", "kv_cache_reused_blocks"}, *[set()] * (len(told) - 1)]
    assert len(told) > 2


def test_sampling_reaches_the_llm_api(stack: Stack) -> None:
    stack.ask(
        temperature=0.5, runtime_top_k=7, runtime_top_p=0.75, min_p=0.25, seed=2**63, repetition_penalty=1.5,
        presence_penalty=0.5, frequency_penalty=-0.5, bad_words_list=words([4], [6]), min_tokens=2,
    )  # fmt: skip
    params = stack.params
    assert (params.temperature, params.top_k, params.top_p, params.min_p) == (0.5, 7, 0.75, 0.25)
    assert (params.seed, params.min_tokens, params.bad_token_ids) == (2**63, 2, [4, 6])
    assert (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) == (1.5, 0.5, -0.5)


@pytest.mark.parametrize(
    "asked", [{}, {"runtime_top_k": 1, "temperature": 0.7}, {"temperature": 0.0, "runtime_top_p": 0.9}]
)
def test_greedy_is_greedy(stack: Stack, asked: dict[str, Any]) -> None:
    stack.ask(**asked)
    assert (stack.params.top_k, stack.params.temperature, stack.params.seed) == (1, None, None)


def test_a_bias_is_one_number_for_each_id(stack: Stack) -> None:
    bias = np.linspace(-1, 1, 260, dtype=np.float32)
    stack.ask(embedding_bias=bias[np.newaxis])
    assert np.array_equal(stack.params.embedding_bias.array, bias)


def test_without_an_end_id_nothing_but_the_length_ends(stack: Stack) -> None:
    sender = stack.ask(end_id=-1, request_output_len=9, exclude_input_in_output=True)
    assert len(sender.ids) == 9
    assert stack.params.end_id == -1


GUIDES = [
    ("json", "", {"json_object": True}),
    ("json_schema", '{"type": "object"}', {"json": '{"type": "object"}'}),
    ("regex", "a+", {"regex": "a+"}),
    ("ebnf_grammar", 'root ::= "a"', {"grammar": 'root ::= "a"'}),
]


@pytest.mark.parametrize(("kind", "text", "expected"), GUIDES)
def test_guides_reach_the_llm_api(stack: Stack, kind: str, text: str, expected: dict[str, Any]) -> None:
    stack.ask(guided_decoding_guide_type=kind.encode(), guided_decoding_guide=text.encode())
    given = vars(stack.params.guided_decoding)
    assert {name: value for name, value in given.items() if value} == expected


def test_an_adapter_is_chosen_by_its_task_id(stack_with_adapters: Stack) -> None:
    stack_with_adapters.ask(lora_task_id=np.array([2], np.uint64))
    stack_with_adapters.ask()
    chosen, none = stack_with_adapters.llm.loras
    assert (chosen.lora_int_id, Path(chosen.lora_path).name) == (2, "2")
    assert none is None
    config = stack_with_adapters.llm.arguments["lora_config"]
    assert (config.max_lora_rank, config.max_loras) == (4, 2)


BAD_INPUTS: list[tuple[str, dict[str, Any]]] = [
    ("beam_width", {"beam_width": 2}),
    ("return_generation_logits", {"return_generation_logits": True}),
    ("num_prompt_log_probs", {"num_prompt_log_probs": 0}),
    ("lora_task_id", {"lora_task_id": np.array([1], np.uint64)}),
    ("request_output_len", {"request_output_len": 0}),
    ("end_id", {"end_id": 260}),
    ("input_ids", {"input_ids": np.array([[1, 260]], np.int32)}),
    ("input_ids", {"input_ids": np.ones((1, 512), np.int32)}),
    ("embedding_bias", {"embedding_bias": np.zeros((1, 3), np.float32)}),
    ("bad_words_list", {"bad_words_list": words([1, 2])}),
    ("runtime_top_p", {"runtime_top_p": 1.5}),
    ("guided_decoding_guide_type", {"guided_decoding_guide_type": b"xml", "guided_decoding_guide": b"x"}),
    ("guided_decoding_guide", {"guided_decoding_guide_type": b"regex"}),
    ("guided_decoding_guide", {"guided_decoding_guide_type": b"regex", "guided_decoding_guide": b"("}),
    ("guided_decoding_guide", {"guided_decoding_guide_type": b"json_schema", "guided_decoding_guide": b"{"}),
    ("guided_decoding_guide", {"guided_decoding_guide_type": b"ebnf_grammar", "guided_decoding_guide": b"a"}),
    (
        "guided_decoding_guide",
        {"guided_decoding_guide_type": b"regex", "guided_decoding_guide": b"a" * 70_000},
    ),
]


@pytest.mark.parametrize(("param", "values"), BAD_INPUTS)
def test_bad_input_is_refused_by_name_before_the_engine_sees_it(
    stack: Stack, param: str, values: dict[str, Any]
) -> None:
    sender = stack.ask(**values)
    assert sender.refusal is not None
    assert json.loads(str(sender.refusal))["param"] == param
    assert not stack.llm.results


def test_an_unknown_adapter_is_refused(stack_with_adapters: Stack) -> None:
    sender = stack_with_adapters.ask(lora_task_id=np.array([3], np.uint64))
    assert sender.refusal is not None
    assert "3 is no adapter" in str(sender.refusal)


def test_a_stop_request_ends_every_request_of_its_id(stack: Stack) -> None:
    stack.llm.hangs_at = 13
    hanging = [stack.send("same", streaming=True), stack.send("same", streaming=True)]
    other = stack.send("other", streaming=True)
    for sender in (*hanging, other):
        assert sender.first_response.wait(TIMEOUT_S)
    closed = stack.ask(request_id="same", stop=True)
    assert closed.is_closed
    for sender in hanging:
        sender.wait()
        assert sender.responses[-1].is_final
        assert sender.failure is None
    assert not other.ended.is_set()
    assert [result.is_aborted for result in stack.llm.results] == [True, True, False]


def test_a_stop_right_behind_its_request_still_ends_it(stack: Stack) -> None:
    stack.llm.hangs_at = 11
    sender = stack.send("1", streaming=True)
    stack.send("1", stop=True)
    sender.wait()
    assert sender.responses[-1].is_final


def test_stopping_nothing_is_answered(stack: Stack) -> None:
    assert stack.ask(request_id="unknown", stop=True).is_closed


def test_stopping_without_an_id_is_refused(stack: Stack) -> None:
    assert stack.ask(request_id="", stop=True).refusal is not None


def test_a_client_that_left_ends_its_request(stack: Stack) -> None:
    stack.llm.hangs_at = 12
    sender = stack.send(streaming=True)
    assert sender.first_response.wait(TIMEOUT_S)
    sender.has_left = True
    sender.wait()
    assert stack.llm.results[0].is_aborted


def test_an_error_of_the_engine_ends_its_request_alone(stack: Stack) -> None:
    stack.llm.fails_at = 13
    failed = stack.ask(streaming=True)
    assert failed.failure is not None
    assert "Executor" not in failed.failure
    assert stack.ask(request_output_len=2, exclude_input_in_output=True).ids == [11, 12]


def test_an_engine_that_takes_nothing_more_says_so(stack: Stack) -> None:
    stack.llm.is_shut_down = True
    assert stack.ask().failure is not None


def test_closing_fails_what_runs_and_shuts_the_llm_down(build: Callable[..., Folder]) -> None:
    stack = Stack(build())
    stack.llm.hangs_at = 12
    sender = stack.send(streaming=True)
    assert sender.first_response.wait(TIMEOUT_S)
    stack.engine.close()
    assert sender.failure == "The engine is down."
    assert stack.llm.is_shut_down
    assert stack.llm.results[0].is_aborted


def test_many_at_once_do_not_mix(stack: Stack) -> None:
    senders = []
    for first in range(11, 60):
        sender = FakeSender()
        stack.engine.accept(str(first), tensors([first - 1], streaming=True, end_id=END_ID), sender)
        senders.append((first, sender))
    for first, sender in senders:
        sender.wait()
        assert sender.ids == list(range(first, first + 5))


def test_the_llm_is_opened_with_what_the_configuration_says(
    build: Callable[..., Folder], checkpoint: Path
) -> None:
    stack = Stack(build(tensor_parallel=2, serving={"kv_cache_dtype": "fp8"}))
    stack.engine.close()
    arguments = stack.llm.arguments
    assert arguments["model"] == str(checkpoint.resolve())
    assert (arguments["tensor_parallel_size"], arguments["max_seq_len"], arguments["max_batch_size"]) == (
        2,
        512,
        16,
    )
    assert arguments["sampler_type"] == "TRTLLMSampler"
    cache = arguments["kv_cache_config"]
    assert (cache.enable_block_reuse, cache.free_gpu_memory_fraction, cache.dtype) == (True, 0.9, "fp8")


def test_an_llm_that_does_not_open_stops_the_load_in_one_sentence(
    build: Callable[..., Folder], monkeypatch: pytest.MonkeyPatch
) -> None:
    import llm_api_runtime
    from contract.parameters import InvalidSettings

    def fail(**_: Any) -> None:
        raise RuntimeError("Traceback ...\nCUDA out of memory.")

    monkeypatch.setattr(llm_api_runtime, "LLM", fail)
    folder = build()
    started = time.monotonic()
    with pytest.raises(InvalidSettings, match=r"can't be opened: CUDA out of memory\.$"):
        llm_api_runtime.load_engine(folder.config, str(folder.model))
    assert time.monotonic() - started < TIMEOUT_S
