import pytest
from batching.kv_blocks import BLOCK_TOKENS
from batching.paged_sequence import PagedSequence
from batching.step_scheduler import Chunk, StepScheduler
from contract.generation import TokenScore

from tests.model_repository.tensorrt_llm import asking

MAX_DRAFT_LEN = 5


def sequence(num_tokens: int, first_id: int = 0, *, wants_prompt_scores: bool = False) -> PagedSequence:
    ids = range(first_id, first_id + num_tokens)
    return asking.sequence(ids, num_prompt_log_probs=0 if wants_prompt_scores else -1)


def started(scheduler: StepScheduler, *sequences: PagedSequence) -> None:
    for it in sequences:
        scheduler.start(it)


def step(scheduler: StepScheduler) -> list[Chunk]:
    """Does what a step of the batch does to the sequences."""
    chunks = scheduler.plan()
    scheduler.settle(chunks)
    for chunk in chunks:
        if chunk.is_last:
            chunk.sequence.append(7)
    return chunks


def spans(chunks: list[Chunk]) -> list[tuple[int, int]]:
    return [(chunk.start, chunk.end) for chunk in chunks]


def test_a_prompt_is_cut_over_several_steps() -> None:
    scheduler = StepScheduler(num_blocks=8, max_num_tokens=40, max_draft_len=MAX_DRAFT_LEN)
    started(scheduler, sequence(100))
    steps = [step(scheduler) for _ in range(4)]
    assert [spans(chunks) for chunks in steps] == [[(0, 40)], [(40, 80)], [(80, 100)], [(100, 101)]]
    assert [chunks[0].is_last for chunks in steps] == [False, False, True, True]
    assert [chunks[0].num_rows for chunks in steps] == [0, 0, 1, 1]


def test_who_writes_is_never_held_up_by_prompts() -> None:
    scheduler = StepScheduler(num_blocks=32, max_num_tokens=40, max_draft_len=MAX_DRAFT_LEN)
    long, writing = sequence(300), sequence(1, 1000)
    started(scheduler, long, writing)
    for _ in range(3):
        assert [chunk.num_tokens for chunk in step(scheduler)] == [39, 1]


def test_prompts_share_what_is_left_of_a_step_first_come_first_served() -> None:
    scheduler = StepScheduler(num_blocks=32, max_num_tokens=40, max_draft_len=MAX_DRAFT_LEN)
    started(scheduler, sequence(30), sequence(30, 1000), sequence(30, 2000))
    assert [chunk.num_tokens for chunk in step(scheduler)] == [30, 10]


def test_a_known_prompt_is_computed_from_its_last_block_on() -> None:
    scheduler = StepScheduler(num_blocks=32, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    first, second = sequence(3 * BLOCK_TOKENS), sequence(3 * BLOCK_TOKENS)
    started(scheduler, first)
    step(scheduler)
    started(scheduler, second)
    assert second.generation.num_reused_blocks == 2
    assert spans(step(scheduler))[1] == (2 * BLOCK_TOKENS, 3 * BLOCK_TOKENS)
    assert second.table.blocks[:2] == first.table.blocks[:2]


def test_an_answer_is_known_in_the_next_turn() -> None:
    scheduler = StepScheduler(num_blocks=32, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    first = sequence(BLOCK_TOKENS)
    started(scheduler, first)
    for _ in range(BLOCK_TOKENS + 1):
        step(scheduler)
    scheduler.stop(first)
    second = asking.sequence([*first.ids, 1, 2, 3])
    started(scheduler, second)
    assert second.generation.num_reused_blocks == 2


def test_scoring_a_prompt_takes_a_row_an_id_and_nothing_known() -> None:
    scheduler = StepScheduler(num_blocks=32, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    started(scheduler, sequence(3 * BLOCK_TOKENS))
    step(scheduler)
    scored = sequence(3 * BLOCK_TOKENS, wants_prompt_scores=True)
    started(scheduler, scored)
    chunk = step(scheduler)[1]
    assert (chunk.start, chunk.num_tokens, chunk.num_rows) == (0, 64, 64)


def test_a_scored_prompt_goes_on_as_others_do() -> None:
    scheduler = StepScheduler(num_blocks=32, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    scored = sequence(3, wants_prompt_scores=True)
    started(scheduler, scored)
    assert step(scheduler)[0].num_rows == 3
    scored.prompt_scores.extend([TokenScore(1, -1.0)] * 2)
    assert step(scheduler)[0].num_rows == 1


@pytest.mark.parametrize(("num_tokens", "fits"), [(2 * BLOCK_TOKENS - 1, True), (2 * BLOCK_TOKENS, False)])
def test_room_is_for_the_prompt_and_one_id_more(num_tokens: int, fits: bool) -> None:
    scheduler = StepScheduler(num_blocks=3, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    started(scheduler, sequence(5))
    assert scheduler.has_room_for(num_tokens) == fits


def test_the_youngest_gives_way_and_comes_back() -> None:
    scheduler = StepScheduler(num_blocks=4, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    old, young = sequence(2 * BLOCK_TOKENS - 1), sequence(BLOCK_TOKENS, 1000)
    started(scheduler, old, young)
    step(scheduler)
    step(scheduler)
    assert scheduler.has_room_for(1) is False
    old.ids += range(BLOCK_TOKENS)
    displaced_at = len(young.ids)
    assert [chunk.sequence for chunk in step(scheduler)] == [old]
    assert not scheduler.has_room_for(1)
    scheduler.stop(old)
    (chunk,) = step(scheduler)
    assert (chunk.sequence, chunk.end, chunk.is_last) == (young, displaced_at, True)


def test_who_gives_way_to_itself_waits() -> None:
    scheduler = StepScheduler(num_blocks=3, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    old, young = sequence(BLOCK_TOKENS, 0), sequence(BLOCK_TOKENS - 1, 1000)
    started(scheduler, old, young)
    step(scheduler)
    step(scheduler)
    young.ids += range(BLOCK_TOKENS)
    assert [chunk.sequence for chunk in step(scheduler)] == [old]
    assert scheduler.has_work


@pytest.mark.parametrize("is_displaced", [False, True])
def test_a_stopped_sequence_leaves_nothing_behind(is_displaced: bool) -> None:
    scheduler = StepScheduler(num_blocks=3, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    old, young = sequence(BLOCK_TOKENS - 1), sequence(BLOCK_TOKENS - 1, 1000)
    started(scheduler, old, young)
    step(scheduler)
    if is_displaced:
        old.ids += range(BLOCK_TOKENS)
        step(scheduler)
    for it in (young, old):
        scheduler.stop(it)
    assert not scheduler.has_work
    assert scheduler.has_room_for(3 * BLOCK_TOKENS - 1)


def repeating(first_id: int, *, period: int = 8) -> PagedSequence:
    """One whose next ids are known: it goes round."""
    return asking.sequence(list(range(first_id, first_id + period)) * 3)


@pytest.mark.parametrize(
    ("num_sequences", "draft_len"),
    [(1, 5), (2, 3), (3, 1), (4, 1), (5, 0), pytest.param(9, 0, id="a-full-step")],
)
def test_few_texts_share_the_spare_rows_of_a_step(num_sequences: int, draft_len: int) -> None:
    scheduler = StepScheduler(num_blocks=32, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    sequences = [repeating(100 * index) for index in range(num_sequences)]
    started(scheduler, *sequences)
    assert [chunk.draft for chunk in scheduler.plan()] == [()] * num_sequences
    for it in sequences:
        it.num_computed = len(it.ids)
        it.append(it.ids[0])
    assert [len(chunk.draft) for chunk in scheduler.plan()] == [draft_len] * num_sequences


def test_nothing_is_drafted_beside_a_prompt() -> None:
    scheduler = StepScheduler(num_blocks=32, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    writing = repeating(0)
    started(scheduler, writing)
    writing.num_computed = len(writing.ids) - 1
    started(scheduler, sequence(3, 1000))
    assert [chunk.draft for chunk in scheduler.plan()] == [(), ()]


def test_nothing_is_drafted_when_blocks_are_lacking() -> None:
    scheduler = StepScheduler(num_blocks=1, max_num_tokens=512, max_draft_len=MAX_DRAFT_LEN)
    writing = asking.sequence(list(range(8)) * 4)
    scheduler.start(writing)
    writing.num_computed = len(writing.ids) - 1
    (chunk,) = scheduler.plan()
    assert (chunk.end, chunk.draft) == (BLOCK_TOKENS, ())
