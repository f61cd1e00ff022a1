import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from batching.paged_sequence import PagedSequence
from contract.generation import Generation
from contract.tensors import InvalidInput, Logits

from tests.model_repository.tensorrt_llm.asking import asked_sequence, sequence, words
from tests.model_repository.tensorrt_llm.fake_batch import FakeBatch
from tests.model_repository.tensorrt_llm.fake_sender import FakeSender


def count_up(prompt: Sequence[int]) -> Iterator[int]:
    return itertools.count(prompt[-1] + 1)


class Bench:
    """A batch on a fake decoder, and what its requests were sent."""

    def __init__(self, max_num_seqs: int = 8, max_kv_tokens: int = 1024) -> None:
        self.batch = FakeBatch(count_up, max_num_seqs, max_kv_tokens=max_kv_tokens)

    def start(self, prompt: list[int] | None = None, request_id: str = "a", **values: Any) -> FakeSender:
        sender = FakeSender()
        self.batch.start(asked_sequence(sender, request_id, prompt, **values))
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


def new(prompt_length: int) -> PagedSequence:
    return asked_sequence(FakeSender(), "new", [1] * prompt_length)


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
    assert not bench.batch.has_work


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


def test_a_stopped_request_leaves_the_batch_at_once(bench: Bench) -> None:
    bench.start([5])
    bench.batch.end_where(by_id("a"))
    assert not bench.batch.has_work


def test_a_guide_holds_for_its_own_request(bench: Bench) -> None:
    guide = {"guided_decoding_guide_type": b"regex", "guided_decoding_guide": b"40 41"}
    guided = bench.start([5], request_output_len=3, exclude_input_in_output=True, **guide)
    free = bench.start([5], request_output_len=3, exclude_input_in_output=True)
    bench.run()
    assert set(guided.ids) <= {40, 41}
    assert free.ids == [6, 7, 8]


def test_bias_bad_words_and_penalties_change_what_is_chosen(bench: Bench) -> None:
    bias = np.zeros((1, 100), np.float32)
    bias[0, 50] = 100
    biased = bench.start([5], request_output_len=2, exclude_input_in_output=True, embedding_bias=bias)
    banned = bench.start(
        [5], request_output_len=2, exclude_input_in_output=True, bad_words_list=words([6], [7])
    )
    bench.run()
    assert biased.ids == [50, 50]
    assert not {6, 7} & set(banned.ids)


def test_logits_are_of_the_new_ids(bench: Bench) -> None:
    sender = bench.start([5], request_output_len=2, streaming=True, return_generation_logits=True)
    bench.run()
    likeliest = [response.tensors["generation_logits"].argmax() for response in sender.responses]
    assert likeliest == sender.ids == [6, 7]


def test_a_known_prompt_is_told(bench: Bench) -> None:
    prompt = list(range(40))
    for num_blocks in (0, 1):
        sender = bench.start(prompt, request_output_len=2, return_perf_metrics=True)
        bench.run()
        assert sender.responses[0].tensors["kv_cache_reused_blocks"].tolist() == [num_blocks]


def test_a_scored_prompt(bench: Bench) -> None:
    sender = bench.start([5, 6], request_output_len=2, num_prompt_log_probs=0)
    bench.run()
    assert sender.responses[0].tensors["prompt_log_probs"].shape == (1, 1)
    assert sender.responses[0].tensors["prompt_top_log_probs"].shape == (1, 1, 0)


def test_places(bench: Bench) -> None:
    small = Bench(max_num_seqs=2)
    small.start()
    assert small.batch.has_room_for(new(3))
    small.start()
    assert not small.batch.has_room_for(new(3))
    small.run()
    assert small.batch.has_room_for(new(3))


def test_prompts_never_fill_the_cache() -> None:
    """In blocks of 32 tokens: 4 of them here; a prompt of 31 takes 1, of 32 2 with the id that follows."""
    small = Bench(max_kv_tokens=128)
    small.start([1] * 31)
    small.start([1] * 32)
    assert small.batch.has_room_for(new(31))
    assert not small.batch.has_room_for(new(32))
    small.batch.step()
    assert not small.batch.has_room_for(new(31))


def test_a_prompt_of_the_whole_window_fits_alone() -> None:
    assert Bench(max_kv_tokens=64).batch.has_room_for(new(63))


def test_who_is_failed_is_gone(bench: Bench) -> None:
    sender = bench.start()
    bench.batch.fail_all("Gone.")
    assert sender.failure == "Gone."
    assert not bench.batch.has_work
    again = bench.start([5], request_output_len=1)
    bench.run()
    assert again.ids == [5, 6]


class DeadEnd:
    """A guide that after two ids finds nothing that may follow."""

    def __init__(self) -> None:
        self._num_left = 2

    def apply(self, _logits: Logits) -> None:
        if not self._num_left:
            raise InvalidInput("guided_decoding_guide", "came to a dead end.")

    def note(self, _token_id: int, /) -> None:
        self._num_left -= 1


def test_a_dead_end_is_an_error_and_ends_nothing_else(bench: Bench) -> None:
    stuck, other = FakeSender(), bench.start([50], "b", request_output_len=4)
    bench.batch.start(sequence([5], edits=[DeadEnd()], sender=stuck, is_streaming=True))
    bench.run()
    assert stuck.ids == [6, 7]
    assert stuck.refusal is not None
    assert "dead end" in str(stuck.refusal)
    assert other.ids[-4:] == [51, 52, 53, 54]
