"""What the two replay engines do alike on a real tritonserver, and what only the native one does."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest

from scripts.replay.check import words_of
from scripts.replay.options import LACKING_INPUTS
from scripts.replay.repository import native_replay_library
from tests.fakes.clients import openai_client
from tests.integration.engine_client import EngineClient, Response
from tests.integration.live_stack import API_KEY, LiveStack, served_stack
from tests.integration.serve_double import SHARED_OPTIONS
from tests.scripts.replay.asking import word_list

if TYPE_CHECKING:
    from replay_words import ReplayWords

PROMPT = [5, 6, 7]
ANSWER_LENGTH = int(SHARED_OPTIONS.answer_length)
MAX_NUM_SEQS = int(SHARED_OPTIONS.max_num_seqs)
END_ID = 128009
WINDOW = 8192


native_alone = pytest.mark.parametrize("stack", ["native-replay"], indirect=True, scope="module")


@pytest.fixture(scope="module", params=["native-replay", "replay"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    folder = tmp_path_factory.mktemp(request.param)
    # Not within the time that a server may take to start: it may have to fetch the compiler.
    native_replay_library()
    with served_stack(
        folder / "serve.log", "tests.integration.serve_double", str(folder), request.param
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def words(stack: LiveStack) -> "ReplayWords":
    return words_of(stack.log.parent)


@pytest.fixture(scope="module")
def engine(stack: LiveStack) -> Iterator[EngineClient]:
    client = EngineClient(stack.triton)
    yield client
    client.close()


def ask(engine: EngineClient, **tensors: Any) -> list[Response]:
    given = {"input_ids": PROMPT, "input_lengths": 3, "request_output_len": 8, **tensors}
    return engine.generate(**{name: value for name, value in given.items() if value is not None})


def ids_of(responses: Sequence[Response]) -> list[int]:
    return list(itertools.chain.from_iterable(response.ids for response in responses if response.outputs))


def expected(words: "ReplayWords", count: int, seed: int | None = None) -> list[int]:
    start = words.start(np.array(PROMPT, np.int32), seed)
    return [int(token_id) for token_id in words.take(start, count)]


def test_a_stream_is_the_words_in_their_order(engine: EngineClient, words: "ReplayWords") -> None:
    responses = ask(engine, streaming=True)
    assert ids_of(responses) == expected(words, 8)
    assert [response.is_final for response in responses] == [False] * (len(responses) - 1) + [True]


@native_alone
def test_each_token_is_a_response_however_late(engine: EngineClient) -> None:
    """The other engine sends all that is due at once."""
    responses = ask(engine, streaming=True)
    assert [len(response.ids) for response in responses] == [1] * 8
    assert {response.outputs["sequence_length"].item() for response in responses} == {1}
    ended = ask(engine, streaming=True, request_output_len=100, end_id=END_ID)
    assert [len(response.ids) for response in ended] == [1] * ANSWER_LENGTH + [0]


@native_alone
def test_all_sequences_step_together(engine: EngineClient) -> None:
    """Whenever they come: responses jitter over the first half of a step, none is due in its last quarter."""
    step_ns = 10**9 // int(SHARED_OPTIONS.tokens_per_second)
    streams = [
        ask(engine, streaming=True, request_output_len=20, return_perf_metrics=True) for _ in range(16)
    ]
    sent_at = [response.outputs["last_token_time_ns"].item() for stream in streams for response in stream]
    # Some may be late; a quarter would be there if each stream had a rhythm of its own.
    assert (np.array(sent_at) % step_ns > 0.75 * step_ns).mean() < 0.12


def test_a_whole_answer_repeats_the_prompt_if_asked_to(engine: EngineClient, words: "ReplayWords") -> None:
    (response,) = ask(engine, exclude_input_in_output=False)
    assert response.is_final
    assert response.ids == PROMPT + expected(words, 8)
    assert response.outputs["output_ids"].shape == (1, 1, 11)
    # As config.pbtxt says.
    for excludes in (None, True):
        (response,) = ask(engine, exclude_input_in_output=excludes)
        assert response.ids == expected(words, 8)


@pytest.mark.parametrize("seed", [0, 7, 2**63 + 5, 2**64 - 1])
def test_a_seed_is_another_text(engine: EngineClient, words: "ReplayWords", seed: int) -> None:
    sampled = ask(engine, streaming=True, runtime_top_k=50, seed=seed)
    assert ids_of(sampled) == expected(words, 8, seed)


@pytest.mark.parametrize(
    "greedy", [{"runtime_top_k": 1}, {"runtime_top_k": 50, "temperature": 0.0}, {"runtime_top_p": 0.0}]
)
def test_a_greedy_text_has_no_seed(
    engine: EngineClient, words: "ReplayWords", greedy: dict[str, float]
) -> None:
    assert ids_of(ask(engine, seed=7, exclude_input_in_output=True, **greedy)) == expected(words, 8)


def test_the_end_id_is_not_returned(engine: EngineClient, words: "ReplayWords") -> None:
    long = {"request_output_len": 100, "end_id": END_ID}
    responses = ask(engine, streaming=True, **long)
    assert ids_of(responses) == expected(words, ANSWER_LENGTH)
    assert responses[-1].is_final
    (whole,) = ask(engine, exclude_input_in_output=True, **long)
    assert whole.ids == expected(words, ANSWER_LENGTH)
    (longer,) = ask(engine, exclude_input_in_output=True, min_tokens=30, **long)
    assert len(longer.ids) == 30
    (other,) = ask(engine, exclude_input_in_output=True, **{**long, "end_id": -1})
    assert len(other.ids) == 100


def test_a_stop_word_ends_the_text_and_is_returned(engine: EngineClient, words: "ReplayWords") -> None:
    text = expected(words, 8)
    two_words = word_list([1, 2, 3], text[2:5])
    assert ids_of(ask(engine, streaming=True, stop_words_list=two_words)) == text[:5]
    one_id = word_list([text[3]])
    assert ids_of(ask(engine, streaming=True, stop_words_list=one_id)) == text[:4]
    assert ids_of(ask(engine, streaming=True, stop_words_list=one_id, min_tokens=5)) == text
    # A word begins in the text, not in the prompt before it.
    assert ids_of(ask(engine, streaming=True, stop_words_list=word_list([7, text[0]]))) == text


def test_the_length_is_cut_to_the_window(engine: EngineClient) -> None:
    prompt = [5] * (WINDOW - 3)
    long = {"input_ids": prompt, "input_lengths": len(prompt), "request_output_len": 100}
    assert len(ids_of(ask(engine, streaming=True, **long))) == 3


def test_counts_and_all_ten_metrics(engine: EngineClient) -> None:
    (response,) = ask(
        engine, return_num_input_tokens=True, return_num_output_tokens=True, return_perf_metrics=True
    )
    counts = {name: value.item() for name, value in response.outputs.items() if value.size == 1}
    assert (counts["num_input_tokens"], counts["num_output_tokens"]) == (3, 8)
    assert (counts["kv_cache_reused_blocks"], counts["kv_cache_alloc_total_blocks"]) == (0, 1)
    assert 0 < counts["arrival_time_ns"] < counts["first_token_time_ns"] <= counts["last_token_time_ns"]
    assert len(counts) == 1 + 2 + 10


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"request_output_len": 0}, "mMaxNewTokens > 0"),
        ({"input_ids": None}, "input_ids|inputTokens"),
        ({"input_ids": [5] * WINDOW, "input_lengths": WINDOW}, "exceeds maximum input length"),
    ],
)
def test_what_makes_no_sense_is_an_error(engine: EngineClient, asked: dict[str, Any], text: str) -> None:
    (response,) = ask(engine, **asked)
    assert response.is_final
    assert any(part in response.error for part in text.split("|")), response.error


def test_an_output_that_was_not_named_is_missed_at_the_first_response(engine: EngineClient) -> None:
    (response,) = ask(engine, outputs=["sequence_length"], streaming=True)
    assert response.is_final
    assert response.error.endswith("output_ids tensor must be present in list of output tensors")
    too_long = {"input_ids": [5] * WINDOW, "input_lengths": WINDOW}
    (response,) = ask(engine, outputs=["sequence_length"], **too_long)
    assert "exceeds maximum input length" in response.error


LACKING = {
    "embedding_bias": np.ones((1, 128256), np.float32),
    "bad_words_list": word_list([9]),
    "guided_decoding_guide_type": "json_schema",
    "guided_decoding_guide": '{"type": "object"}',
    "return_log_probs": True,
}


@native_alone
@pytest.mark.parametrize("name", [*LACKING_INPUTS, "beam_width"])
def test_what_only_the_other_engine_can_is_an_error(engine: EngineClient, name: str) -> None:
    (response,) = ask(engine, **{name: {**LACKING, "beam_width": 2}[name]})
    assert response.is_final
    assert "has no log-probs, logits, biases, guides or adapters" in response.error


def test_a_stop_request_ends_the_text_of_its_id(engine: EngineClient) -> None:
    running = engine.stream(
        request_id="long", input_ids=PROMPT, input_lengths=3, request_output_len=8000, streaming=True
    )
    responses = iter(running)
    assert not next(responses).is_final
    (acknowledgement,) = engine.generate(request_id="long", stop=True)
    assert acknowledgement.is_final
    rest = list(responses)
    assert rest[-1].is_final
    assert len(rest) < 1000


def test_a_stop_request_needs_an_id(engine: EngineClient) -> None:
    (response,) = engine.generate(request_id="", stop=True)
    assert "request ID is not provided" in response.error


def test_those_beyond_its_size_wait_and_can_be_stopped(engine: EngineClient) -> None:
    many = {"input_ids": PROMPT, "input_lengths": 3, "request_output_len": 8000, "streaming": True}
    running = [engine.stream(request_id=f"running-{number}", **many) for number in range(MAX_NUM_SEQS)]
    readers = [iter(stream) for stream in running]
    for reader in readers:
        assert not next(reader).is_final
    waiting = engine.stream(request_id="waiting", **many)
    engine.generate(request_id="waiting", stop=True)
    (only,) = list(waiting)
    assert only.is_final
    assert only.ids == []
    next_in_line = iter(engine.stream(request_id="next", **many))
    engine.generate(request_id="running-0", stop=True)
    assert not next(next_in_line).is_final
    for name in ("running-1", "running-2", "next"):
        engine.generate(request_id=name, stop=True)
    for reader in (*readers, next_in_line):
        assert list(reader)[-1].is_final


def test_a_client_that_leaves_makes_room(engine: EngineClient) -> None:
    many = {"input_ids": PROMPT, "input_lengths": 3, "request_output_len": 8000, "streaming": True}
    leaving = [engine.stream(**many) for _ in range(MAX_NUM_SEQS)]
    for stream in leaving:
        assert not next(iter(stream)).is_final
        stream.leave()
    assert len(ids_of(ask(engine, streaming=True))) == 8


class TestThroughTheFrontend:
    @pytest.fixture
    def client(self, stack: LiveStack) -> Iterator[openai.OpenAI]:
        with openai_client(stack.url, API_KEY) as client:
            yield client

    def test_a_chat(self, client: openai.OpenAI, stack: LiveStack, words: "ReplayWords") -> None:
        stream = client.chat.completions.create(
            model=stack.model,
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        *chunks, last = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert words.is_unbroken(text)
        assert len(text.split()) == ANSWER_LENGTH
        assert chunks[-1].choices[0].finish_reason == "stop"
        # The end id is counted.
        assert last.usage.completion_tokens == ANSWER_LENGTH + 1

    @native_alone
    @pytest.mark.parametrize(
        ("param", "value"),
        [("logprobs", 1), ("logit_bias", {"5": 1}), ("response_format", {"type": "json_object"})],
    )
    def test_what_it_can_not_do_is_a_400(
        self, client: openai.OpenAI, stack: LiveStack, param: str, value: Any
    ) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model=stack.model, prompt="Hi", extra_body={param: value})
        assert caught.value.param == param


@native_alone
def test_its_log_is_quiet(stack: LiveStack) -> None:
    """After all of the above: errors of Triton's are logged by it."""
    log = next(stack.log.parent.glob("tritonserver-*.log")).read_text()
    assert "triton.c" not in log
