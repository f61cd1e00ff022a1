"""Output tokens per second through the whole stack against the engine alone, in one run."""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from scripts.bench.load import STREAMED, random_ids, stream
from scripts.bench.plots import Line, Plot
from scripts.bench.stack import Stack, engine_folder, served
from serving.backends import decoder_libraries

if TYPE_CHECKING:
    from batching.paged_sequence import PagedSequence

CONCURRENCIES = (1, 8, 16, 32)
NUM_ROUNDS = 7
NUM_PROMPT_TOKENS = 64
NUM_NEW_TOKENS = 192

HEADING = "Through HTTP against the engine alone\nconcurrent   stack tok/s   engine tok/s   ratio"


@dataclass(frozen=True)
class Comparison:
    """Medians over the rounds; `ratio` is the median of each round's own ratio."""

    concurrency: int
    stack_tokens_per_s: float
    engine_tokens_per_s: float
    ratio: float


def use_modules(repository: Path) -> None:
    """The engine's modules import each other by bare name, as under Triton, and find its libraries."""
    libraries = [str(library.parent) for library in decoder_libraries().values()]
    sys.path[:0] = [str(repository / "tensorrt_llm" / "1"), *libraries]


class BareEngine:
    """The engine of a model repository, opened with the settings that Triton gives it."""

    def __init__(self, repository: Path) -> None:
        use_modules(repository)
        from batching.running_batch import open_batch
        from engine_settings import read_settings

        text = (repository / "tensorrt_llm" / "config.pbtxt").read_text()
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        parameters = {key: {"string_value": value.string_value} for key, value in config.parameters.items()}
        settings = read_settings({"parameters": parameters}, repository)
        self._batch = open_batch(
            settings.engine,
            settings.vocab_size,
            settings.max_kv_tokens,
            settings.max_num_tokens,
            settings.max_draft_len,
            settings.max_num_seqs,
        )

    def tokens_per_second(self, prompts: Sequence[list[int]], num_tokens: int) -> float:
        """Output tokens per second of one greedy generation per prompt, all at once."""
        start = time.perf_counter()
        self._write_all(prompts, num_tokens)
        return len(prompts) * num_tokens / (time.perf_counter() - start)

    def first_token_seconds(self, prompt: list[int]) -> float:
        """Until the first id of one greedy generation."""
        start = time.perf_counter()
        self._write_all([prompt], 1)
        return time.perf_counter() - start

    def _write_all(self, prompts: Sequence[list[int]], num_tokens: int) -> None:
        """That many ids behind each prompt."""
        for prompt in prompts:
            self._batch.start(silent_sequence(prompt, num_tokens))
        while self._batch.has_work:
            self._batch.step()


class _Nobody:
    """A Sender to which nothing matters."""

    def send(self, *_: object) -> None:
        pass

    refuse = fail = close = send

    def is_cancelled(self) -> bool:
        return False


def silent_sequence(prompt: Sequence[int], num_tokens: int) -> "PagedSequence":
    """One that is written greedily, for nobody."""
    from batching.paged_sequence import PagedSequence
    from contract.generation import Generation
    from contract.request import GenerationRequest
    from contract.response_stream import ResponseStream

    request = GenerationRequest(list(prompt), num_tokens)
    return PagedSequence(Generation(request, ResponseStream("", _Nobody())))


def compare_with_engine() -> Iterator[Comparison]:
    """Interleaves the two, so that both see the same machine."""
    with served() as stack:
        engine = BareEngine(engine_folder() / "model_repository")
        for concurrency in CONCURRENCIES:
            yield _compare(stack, engine, concurrency)


def _compare(stack: Stack, engine: BareEngine, concurrency: int) -> Comparison:
    rounds = []
    for number in range(NUM_ROUNDS + 1):
        # Different ids for each request and round: no prefix is found in the cache.
        first = 1000 * concurrency + 100 * number
        prompts = [random_ids(NUM_PROMPT_TOKENS, first + index) for index in range(concurrency)]
        through_stack = uvloop.run(_tokens_per_second(stack, prompts))
        rounds.append((through_stack, engine.tokens_per_second(prompts, NUM_NEW_TOKENS)))
    # The first round warms both up.
    counted = rounds[1:]
    return Comparison(
        concurrency,
        statistics.median(stack for stack, _ in counted),
        statistics.median(engine_alone for _, engine_alone in counted),
        statistics.median(stack / engine_alone for stack, engine_alone in counted),
    )


async def _tokens_per_second(stack: Stack, prompts: list[list[int]]) -> float:
    """Of one streamed completion per prompt, all at once."""
    start = time.perf_counter()
    limits = {"max_tokens": NUM_NEW_TOKENS, "ignore_eos": True, "temperature": 0}
    bodies = [{"model": stack.model, "prompt": prompt, **limits, **STREAMED} for prompt in prompts]
    streams = await asyncio.gather(*(stream(stack.port, body) for body in bodies))
    return sum(int(each.usage["completion_tokens"]) for each in streams) / (time.perf_counter() - start)


def line(row: Comparison) -> str:
    rates = f"{row.stack_tokens_per_s:11.0f}   {row.engine_tokens_per_s:12.0f}"
    return f"{row.concurrency:10}   {rates}   {row.ratio:5.2f}"


def plots(rows: Sequence[Comparison]) -> dict[str, Plot]:
    """Tokens per second against concurrency, of the stack and of its engine alone."""
    at_once = [row.concurrency for row in rows]
    lines = [
        Line("engine alone", at_once, [row.engine_tokens_per_s for row in rows]),
        Line("through HTTP", at_once, [row.stack_tokens_per_s for row in rows]),
    ]
    title = "SmolLM2-135M-Instruct, int8, 2 cores"
    return {"engine": Plot(title, "requests at once", "output tokens/s", lines)}
