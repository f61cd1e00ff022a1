import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from generation import Generation
from openvino_genai import GenerationStatus
from response_stream import ResponseStream
from running_batch import BatchLimits, RunningBatch

from tests.tensorrt_llm.asking import request, words
from tests.tensorrt_llm.fake_pipeline import FakePipeline
from tests.tensorrt_llm.fake_sender import FakeSender


def count_up(prompt: Sequence[int]) -> Iterator[int]:
    return itertools.count(prompt[-1] + 1)


class Bench:
    """A batch on a fake pipeline, and what its requests were sent."""

    def __init__(self, max_num_seqs: int = 8, max_kv_tokens: int = 1024) -> None:
        self.pipeline = FakePipeline(count_up)
        self.batch = RunningBatch(lambda: self.pipeline, BatchLimits(max_num_seqs, max_kv_tokens))

    def start(self, prompt: list[int] | None = None, request_id: str = "a", **values: Any) -> FakeSender:
        sender = FakeSender()
        self.batch.start(Generation(request(prompt, **values), ResponseStream(request_id, sender)))
        return sender

    def run(self) -> int:
        """The number of steps until there is no work."""
        for steps in itertools.count():
            if not self.batch.has_work:
                return steps
            self.batch.step()
        raise AssertionError


@pytest.fixture
def bench() -> Bench:
    return Bench()


def generation(prompt_length: int) -> Generation:
    return Generation(request([1] * prompt_length), ResponseStream("new", FakeSender()))


def by_id(request_id: str) -> Callable[[Generation], bool]:
    return lambda generation: generation.request_id == request_id


def test_a_request_runs_to_its_length(bench: Bench) -> None:
    sender = bench.start([5], request_output_len=3, streaming=True)
    assert bench.run() == 3
    assert [response.ids for response in sender.responses] == [[6], [7], [8]]
    assert [response.is_final for response in sender.responses] == [False, False, True]


def test_a_later_request_joins_at_the_next_step(bench: Bench) -> None:
    early = bench.start([5], request_output_len=4, streaming=True)
    bench.batch.step()
    late = bench.start([50], request_output_len=2, streaming=True)
    bench.batch.step()
    assert (early.ids, late.ids) == ([6, 7], [51])
    assert bench.run() == 2
    assert (early.ids, late.ids) == ([6, 7, 8, 9], [51, 52])


def test_end_id(bench: Bench) -> None:
    sender = bench.start([5], streaming=True, end_id=8)
    assert bench.run() == 3
    assert [response.ids for response in sender.responses] == [[6], [7], []]


def test_the_end_id_at_the_very_limit(bench: Bench) -> None:
    sender = bench.start([5], request_output_len=3, streaming=True, end_id=8)
    bench.run()
    assert [response.ids for response in sender.responses] == [[6], [7], []]


@pytest.mark.parametrize("stop_word", [[8], [7, 8], [6, 7, 8]])
def test_stop_word(bench: Bench, stop_word: list[int]) -> None:
    sender = bench.start([5], streaming=True, stop_words_list=words(stop_word))
    bench.run()
    assert [response.ids for response in sender.responses] == [[6], [7], [8]]
    assert bench.pipeline.handles[0].status == GenerationStatus.STOP


def test_a_refusal_of_the_engine_is_of_one_request(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(prompt: Sequence[int]) -> Iterator[int]:
        raise RuntimeError("Check 'prompt_len > 0' failed")

    other = bench.start([5], request_output_len=2)
    bench.pipeline._writer = refuse
    sender = bench.start([6])
    bench.run()
    assert sender.failure == "The engine refused this request."
    assert other.responses[0].is_final
    assert "prompt_len" in caplog.text


def test_a_full_cache_fails_the_requests_that_the_engine_dropped(bench: Bench) -> None:
    sender = bench.start([5], streaming=True)
    bench.batch.step()
    bench.pipeline.run_out_of_memory()
    bench.batch.step()
    assert sender.ids == [6]
    assert sender.failure == "The engine's KV cache is full."


def test_end_where_stops_the_chosen_only(bench: Bench) -> None:
    unwanted = bench.start([5], request_id="a", streaming=True)
    whole = bench.start([5], request_id="a")
    wanted = bench.start([5], request_id="b", request_output_len=3)
    bench.batch.step()
    bench.batch.end_where(by_id("a"))
    assert [response.ids for response in unwanted.responses] == [[6], []]
    assert unwanted.responses[-1].is_final
    assert [response.ids for response in whole.responses] == [[5, 6]]
    assert bench.run() == 2
    assert wanted.ids == [5, 6, 7, 8]


def test_a_stopped_request_leaves_the_pipeline_at_the_next_step(bench: Bench) -> None:
    bench.start([5])
    bench.batch.end_where(by_id("a"))
    assert bench.batch.has_work
    assert bench.run() == 1


def test_places(bench: Bench) -> None:
    small = Bench(max_num_seqs=2)
    small.start()
    assert small.batch.has_room_for(generation(3))
    small.start()
    assert not small.batch.has_room_for(generation(3))
    small.run()
    assert small.batch.has_room_for(generation(3))


def test_prompts_never_fill_the_cache() -> None:
    """In blocks of 32 tokens: 4 of them here; a prompt of 31 takes 1, of 32 2 with the id that follows."""
    small = Bench(max_kv_tokens=128)
    small.start([1] * 31)
    small.start([1] * 32)
    assert small.batch.has_room_for(generation(31))
    assert not small.batch.has_room_for(generation(32))
    small.batch.step()
    assert not small.batch.has_room_for(generation(31))


def test_a_prompt_of_the_whole_window_fits_alone() -> None:
    assert Bench(max_kv_tokens=64).batch.has_room_for(generation(63))


def test_a_replaced_pipeline_starts_empty(bench: Bench) -> None:
    sender = bench.start()
    bench.batch.fail_all("Gone.")
    bench.pipeline = FakePipeline(count_up)
    bench.batch.replace_pipeline()
    assert sender.failure == "Gone."
    assert not bench.batch.has_work
    again = bench.start([5], request_output_len=1)
    bench.run()
    assert again.ids == [5, 6]
