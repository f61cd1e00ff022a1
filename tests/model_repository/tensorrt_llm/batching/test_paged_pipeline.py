"""The whole pipeline on a tiny model with random weights, against logits of the whole text at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batching.kv_blocks import BlockTable, num_blocks_for
from batching.paged_pipeline import PagedPipeline, open_paged_pipeline
from batching.paged_sequence import DecodingRequest, PagedSequence
from batching.step_scheduler import Chunk
from contract.sampling import Sampling
from decoder.choice import Decoder, open_decoder
from numpy.typing import NDArray
from sampling.logit_edits import Bias, MinLength

from build.checkpoint.safetensors import SafetensorsCheckpoint
from build.cpu.engine_file import FILE_NAME, write_engine_file
from tests.build.tiny_llama import tiny_config, write_hugging_face

# So small that it soon goes round in circles.
CONFIG = tiny_config(hidden_size=64, num_attention_heads=1, num_key_value_heads=1)
TOLERANCE = 1e-4
LONG_PROMPT = np.random.default_rng(5).integers(0, CONFIG["vocab_size"], 150).tolist()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_hugging_face(tmp_path_factory.mktemp("tiny") / "engine", CONFIG)
    checkpoint = SafetensorsCheckpoint(folder / "config.json", [folder / "model.safetensors"])
    write_engine_file(checkpoint, folder / FILE_NAME, lambda: None)
    return folder


@pytest.fixture(scope="module")
def decoder(engine: Path) -> Decoder:
    return open_decoder(engine, num_blocks=16)


def open_exact(engine: Path, max_kv_tokens: int = 1024, max_num_tokens: int = 512) -> PagedPipeline:
    return open_paged_pipeline(engine, max_kv_tokens, max_num_tokens, max_draft_len=5)


@pytest.fixture(scope="module")
def pipeline(engine: Path) -> PagedPipeline:
    return open_exact(engine)


def request(prompt_ids: list[int], **options: Any) -> DecodingRequest:
    return DecodingRequest(prompt_ids, options.pop("sampling", Sampling()), wants_log_probs=True, **options)


class Writer:
    """Runs sequences to a number of ids, and collects their scores."""

    def __init__(self, pipeline: PagedPipeline, count: int) -> None:
        self._pipeline = pipeline
        self._count = count

    def write(self, *requests: DecodingRequest) -> list[PagedSequence]:
        sequences = [self._pipeline.start(it) for it in requests]
        self.log_probs: dict[int, list[float]] = {index: [] for index in range(len(sequences))}
        while self._pipeline.has_work:
            for choice in self._pipeline.step():
                assert choice.log_prob is not None
                log_probs = self.log_probs[sequences.index(choice.sequence)]
                log_probs.append(choice.log_prob)
                if len(log_probs) == self._count:
                    self._pipeline.stop(choice.sequence)
        return sequences


def logits_of(decoder: Decoder, ids: list[int]) -> NDArray[np.float64]:
    sequence = PagedSequence(DecodingRequest(ids, Sampling()))
    sequence.table = BlockTable(list(range(num_blocks_for(len(ids)))))
    return np.float64(decoder.infer([Chunk(sequence, 0, len(ids), len(ids), is_last=True)]))


def expected_log_probs(decoder: Decoder, ids: list[int]) -> NDArray[np.float64]:
    """Of every id but the first."""
    logits = logits_of(decoder, ids)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.asarray(log_probs[np.arange(len(ids) - 1), ids[1:]])


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=0, top_p=0.9, seed=2)])
def test_log_probs_are_those_of_the_whole_text(
    sampling: Sampling, pipeline: PagedPipeline, decoder: Decoder
) -> None:
    prompts = [LONG_PROMPT[:length] for length in (1, 3, 31, 32, 33, 150)]
    writer = Writer(pipeline, 20)
    for index, sequence in enumerate(
        writer.write(*(request(prompt, sampling=sampling) for prompt in prompts))
    ):
        expected = expected_log_probs(decoder, sequence.ids)[len(prompts[index]) - 1 :]
        np.testing.assert_allclose(writer.log_probs[index], expected, atol=TOLERANCE)


def test_greedy_writes_what_is_most_probable(pipeline: PagedPipeline, decoder: Decoder) -> None:
    (sequence,) = Writer(pipeline, 20).write(request(LONG_PROMPT[:10]))
    assert sequence.ids[10:] == logits_of(decoder, sequence.ids)[9:-1].argmax(1).tolist()


@pytest.mark.parametrize(
    ("max_kv_tokens", "max_num_tokens"),
    [pytest.param(1024, 7, id="prompts-in-pieces"), pytest.param(224, 512, id="displaced-in-between")],
)
def test_memory_and_step_size_change_nothing(
    engine: Path, decoder: Decoder, max_kv_tokens: int, max_num_tokens: int
) -> None:
    pipeline = open_exact(engine, max_kv_tokens, max_num_tokens)
    requests = [request(LONG_PROMPT[start : start + 60], wants_prompt_scores=True) for start in (0, 50, 90)]
    for sequence in Writer(pipeline, 40).write(*requests):
        scores = [score.log_prob for score in sequence.prompt_scores]
        expected = expected_log_probs(decoder, sequence.ids[:60])
        np.testing.assert_allclose(scores, expected, atol=TOLERANCE)


def test_a_known_prefix_changes_nothing(engine: Path, decoder: Decoder) -> None:
    pipeline = open_exact(engine)
    writer = Writer(pipeline, 20)
    (first,) = writer.write(request(LONG_PROMPT))
    (second,) = writer.write(request(first.ids[:160]))
    assert (first.num_reused, second.num_reused) == (0, 128)
    expected = expected_log_probs(decoder, second.ids)[159:]
    np.testing.assert_allclose(writer.log_probs[0], expected, atol=TOLERANCE)


def test_prompt_scores_are_those_of_the_whole_text(pipeline: PagedPipeline, decoder: Decoder) -> None:
    (sequence,) = Writer(pipeline, 2).write(request(LONG_PROMPT, wants_prompt_scores=True, num_top=3))
    expected = expected_log_probs(decoder, LONG_PROMPT)
    np.testing.assert_allclose([it.log_prob for it in sequence.prompt_scores], expected, atol=TOLERANCE)
    assert {len(score.top) for score in sequence.prompt_scores} == {3}


def test_edits_rule_what_is_written(pipeline: PagedPipeline) -> None:
    edits = [Bias({9: 1000.0}), MinLength([9], 5)]
    (sequence,) = Writer(pipeline, 8).write(request(LONG_PROMPT[:10], edits=edits))
    assert 9 not in sequence.ids[10:15]
    assert sequence.ids[15:18] == [9, 9, 9]


def test_a_stopped_sequence_writes_no_more(pipeline: PagedPipeline) -> None:
    sequence = pipeline.start(request(LONG_PROMPT[:10]))
    pipeline.step()
    pipeline.stop(sequence)
    assert not pipeline.has_work
    assert len(sequence.ids) == 11


def test_has_room_for_what_fits_besides_the_running(engine: Path) -> None:
    pipeline = open_paged_pipeline(engine, max_kv_tokens=128, max_num_tokens=512, max_draft_len=5)
    assert pipeline.has_room_for(127)
    pipeline.start(request(LONG_PROMPT[:40]))
    assert pipeline.has_room_for(63)
    assert not pipeline.has_room_for(64)


def written(pipeline: PagedPipeline, *requests: DecodingRequest, count: int = 80) -> list[list[int]]:
    sequences = [pipeline.start(it) for it in requests]
    while pipeline.has_work:
        pipeline.step()
        for sequence in sequences:
            if len(sequence.ids) >= len(sequence.request.prompt_ids) + count:
                pipeline.stop(sequence)
    return [it.ids[len(it.request.prompt_ids) :][:count] for it in sequences]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=3, top_p=1.0, temperature=0.3, seed=4)])
def test_drafts_and_company_change_no_id(engine: Path, sampling: Sampling) -> None:
    alone = open_paged_pipeline(engine, 4096, 512, max_draft_len=0)
    drafting = open_paged_pipeline(engine, 4096, 512, max_draft_len=5)
    requests = [DecodingRequest(LONG_PROMPT[start : start + 40], sampling) for start in range(0, 100, 10)]
    expected = [written(alone, it)[0] for it in requests]
    assert [written(drafting, it)[0] for it in requests] == expected
    assert written(drafting, *requests[:2]) == expected[:2]
    assert written(drafting, *requests) == expected


def test_drafts_save_steps(engine: Path) -> None:
    pipeline = open_paged_pipeline(engine, 4096, 512, max_draft_len=5)
    sequence = pipeline.start(DecodingRequest(LONG_PROMPT[:40], Sampling()))
    num_steps = 0
    while len(sequence.ids) < 240:
        pipeline.step()
        num_steps += 1
    pipeline.stop(sequence)
    assert num_steps < 150
