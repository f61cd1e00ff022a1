"""What one request adds to the metrics: its generations' times, tokens and ends."""

import asyncio
import time
from dataclasses import dataclass

from frontend.generation.generation import Delta
from frontend.metrics import counters as metric
from frontend.metrics.counters import Row


@dataclass(slots=True)
class _Progress:
    """Of one generation."""

    num_tokens: int
    first_at: float
    last_at: float
    has_ended: bool = False


class RequestMetrics:
    def __init__(self, row: Row, num_generations: int, is_streamed: bool) -> None:
        """`is_streamed`: whether the engine sends tokens as they come; if not, nobody knows when they did."""
        self._row = row
        self._num_generations = num_generations
        self._is_streamed = is_streamed
        self._progress: dict[int, _Progress] = {}
        self._arrived_at = self._begun_at = time.monotonic()

    def begin(self, max_tokens: int | None) -> None:
        """The request has its slots."""
        self._begun_at = time.monotonic()
        metric.PARAMS_N.observe(self._row, self._num_generations)
        for _ in range(self._num_generations):
            metric.QUEUE_TIME.observe(self._row, self._begun_at - self._arrived_at)
            if max_tokens is not None:
                metric.PARAMS_MAX_TOKENS.observe(self._row, max_tokens)

    def count(self, delta: Delta) -> None:
        """A response of the engine: additions and one look at the clock, for this is done for each token."""
        now = time.monotonic()
        progress = self._progress.get(delta.index)
        if progress is None:
            progress = self._first(delta, now)
        elif self._is_streamed:
            metric.INTER_TOKEN.observe(self._row, now - progress.last_at)
        self._row[metric.GENERATION_TOKENS.start] += delta.num_completion_tokens - progress.num_tokens
        progress.num_tokens = delta.num_completion_tokens
        progress.last_at = now
        if delta.finish_reason is not None:
            self._end(delta, progress)

    def leave(self, kind: type[BaseException] | None) -> None:
        """The request is over; generations without an end were given up, or failed."""
        is_given_up = kind is None or issubclass(kind, asyncio.CancelledError | GeneratorExit)
        num_ended = sum(progress.has_ended for progress in self._progress.values())
        reason = "abort" if is_given_up else "error"
        metric.FINISHED.add(self._row, self._num_generations - num_ended, reason)

    def _first(self, delta: Delta, now: float) -> _Progress:
        row = self._row
        metric.PROMPT_TOKENS.add(row, delta.num_prompt_tokens)
        metric.PROMPT_LENGTH.observe(row, delta.num_prompt_tokens)
        if delta.num_cached_tokens is not None:
            metric.PREFIX_QUERIES.add(row, delta.num_prompt_tokens)
            metric.PREFIX_HITS.add(row, delta.num_cached_tokens)
            metric.PROMPT_TOKENS_CACHED.add(row, delta.num_cached_tokens)
        if self._is_streamed:
            metric.FIRST_TOKEN.observe(row, now - self._arrived_at)
            metric.PREFILL_TIME.observe(row, now - self._begun_at)
        return self._progress.setdefault(delta.index, _Progress(0, now, now))

    def _end(self, delta: Delta, progress: _Progress) -> None:
        row, now = self._row, progress.last_at
        progress.has_ended = True
        assert delta.finish_reason is not None  # noqa: S101 - it has ended
        metric.FINISHED.add(row, 1, delta.finish_reason)
        metric.ANSWER_LENGTH.observe(row, delta.num_completion_tokens)
        metric.END_TO_END.observe(row, now - self._arrived_at)
        metric.INFERENCE_TIME.observe(row, now - self._begun_at)
        if self._is_streamed:
            decode_s = now - progress.first_at
            metric.DECODE_TIME.observe(row, decode_s)
            if progress.num_tokens > 1:
                metric.PER_OUTPUT_TOKEN.observe(row, decode_s / (progress.num_tokens - 1))
