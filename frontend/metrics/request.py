"""What one request adds to the metrics: its generations' times, tokens and ends."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from frontend.generation.delta import Delta
from frontend.metrics import counters as metric
from frontend.metrics.counters import Row


@dataclass(slots=True)
class _Progress:
    """Of one generation."""

    last: Delta
    first_at: float
    last_at: float


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

    @property
    def last_deltas(self) -> list[Delta]:
        """Of each generation that has begun; its counts are those of all that it made."""
        return [progress.last for progress in self._progress.values()]

    def count(self, deltas: Sequence[Delta]) -> None:
        """What came together: additions and one look at the clock, for this is done for each token."""
        now = time.monotonic()
        for delta in deltas:
            progress = self._progress.get(delta.index)
            if progress is None:
                self._first(delta, now)
                num_new = delta.num_completion_tokens
            else:
                if self._is_streamed:
                    metric.INTER_TOKEN.observe(self._row, now - progress.last_at)
                num_new = delta.num_completion_tokens - progress.last.num_completion_tokens
                progress.last = delta
                progress.last_at = now
            self._row[metric.GENERATION_TOKENS.start] += num_new
            if delta.finish_reason is not None:
                self._end(delta, self._progress[delta.index])

    def leave(self, kind: type[BaseException] | None) -> None:
        """The request is over; generations without an end were given up, or failed."""
        is_given_up = kind is None or issubclass(kind, asyncio.CancelledError | GeneratorExit)
        num_ended = sum(progress.last.finish_reason is not None for progress in self._progress.values())
        reason = "abort" if is_given_up else "error"
        metric.FINISHED.add(self._row, self._num_generations - num_ended, reason)

    def _first(self, delta: Delta, now: float) -> None:
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
        self._progress[delta.index] = _Progress(delta, now, now)

    def _end(self, delta: Delta, progress: _Progress) -> None:
        row, now = self._row, progress.last_at
        assert delta.finish_reason is not None  # noqa: S101 - it has ended
        metric.FINISHED.add(row, 1, delta.finish_reason)
        metric.ANSWER_LENGTH.observe(row, delta.num_completion_tokens)
        metric.END_TO_END.observe(row, now - self._arrived_at)
        metric.INFERENCE_TIME.observe(row, now - self._begun_at)
        if self._is_streamed:
            decode_s = now - progress.first_at
            metric.DECODE_TIME.observe(row, decode_s)
            if delta.num_completion_tokens > 1:
                metric.PER_OUTPUT_TOKEN.observe(row, decode_s / (delta.num_completion_tokens - 1))
