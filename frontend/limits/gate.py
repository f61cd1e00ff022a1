"""Who may use the engine now: the limits of keys, the engine's slots, and the line in front of them."""

import logging
import time
from dataclasses import dataclass
from types import TracebackType

from starlette.requests import Request

from frontend.errors import ApiError, EngineOverloaded, InvalidRequest, RateLimited
from frontend.generation.delta import usage
from frontend.keys.key import ApiKey
from frontend.limits.buckets import RateLimits, limit_headers
from frontend.limits.ledger import COMPLETION_TOKENS, PROMPT_TOKENS, REFUSED, REQUESTS, SharedLedger
from frontend.limits.queue import FairQueue
from frontend.metrics.counters import REFUSED_REQUESTS
from frontend.metrics.request import RequestMetrics
from frontend.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Work:
    """What a request asks for, in generations; `num_candidates` of them share a prompt."""

    num_generations: int
    num_candidates: int
    num_tokens: int
    """An estimate of prompts and answers together; 0 for what generates nothing."""
    is_streamed: bool
    """Whether the engine sends tokens as they come."""
    max_tokens: int | None


class Gate:
    """One for each worker; they agree through the ledger."""

    def __init__(self, ledger: SharedLedger, settings: Settings) -> None:
        self.ledger = ledger
        self.queue = FairQueue(ledger, settings.max_queued_requests)
        self.limits = RateLimits(ledger)
        self.queue_timeout_s = settings.queue_timeout_s

    def open(self) -> None:
        """Starts to listen to the other workers, on the running event loop."""
        self.ledger.listen(self.queue.serve_rung)

    def close(self) -> None:
        self.ledger.stop_listening()

    def charge(self, request: Request) -> None:
        """Counts a request that takes no slot; raises RateLimited."""
        key: ApiKey = request.state.key
        with self.ledger.locked():
            column = self.ledger.column(key.name)
            self.enter(request, column, 0, 0, 0)

    def enter(
        self, request: Request, column: int, num_generations: int, capacity: int, num_tokens: int
    ) -> None:
        """Takes from the key's limits what the request needs; raises EngineOverloaded or RateLimited.

        In any case the answer tells what is left.
        """
        key: ApiKey = request.state.key
        try:
            self._require_concurrency(key, column, num_generations)
            self.queue.require_room(num_generations, capacity)
            self.limits.charge(key, column, num_tokens)
            self.ledger.usage[REQUESTS, column] += 1
        except ApiError as error:
            self.ledger.usage[REFUSED, column] += 1
            reason = "line_full" if isinstance(error, EngineOverloaded) else "key_limit"
            REFUSED_REQUESTS.add(self.ledger.metrics.row, 1, reason)
            raise
        finally:
            left = self.limits.allowances(key, column)
            request.state.answer_headers = limit_headers(left, request.scope["path"])

    def _require_concurrency(self, key: ApiKey, column: int, num_generations: int) -> None:
        if key.concurrency is None or not num_generations:
            return
        if num_generations > key.concurrency:
            raise InvalidRequest(f"n: this key allows {key.concurrency} generations at once.", "n")
        num_present = int(self.ledger.running[:, column].sum() + self.ledger.waiting[:, column].sum())
        if num_present + num_generations > key.concurrency:
            raise RateLimited(f"Rate limit reached: {key.concurrency} generations at once for this key.")


class Slots:
    """Async context in which the generations of a request may run; waits for its turn."""

    def __init__(self, gate: Gate, request: Request, work: Work, capacity: int) -> None:
        self._gate = gate
        self._request = request
        self._key: ApiKey = request.state.key
        self._work = work
        self._capacity = capacity
        self._num_reserved = gate.limits.reservation(self._key, work.num_tokens)
        self._metrics = RequestMetrics(gate.ledger.metrics.row, work.num_generations, work.is_streamed)
        self.count = self._metrics.count
        """Wants every delta of the request."""

    async def __aenter__(self) -> "Slots":
        gate, work = self._gate, self._work
        self._start = self._begin = time.monotonic()
        # More than all slots can't be had: such a request takes them all.
        weight = min(work.num_generations, self._capacity)
        with gate.ledger.locked():
            column = gate.ledger.column(self._key.name)
            gate.enter(self._request, column, weight, self._capacity, self._num_reserved)
            self._turn = gate.queue.join(column, weight, self._capacity)
        try:
            await gate.queue.wait(self._turn, gate.queue_timeout_s)
        except EngineOverloaded:
            REFUSED_REQUESTS.add(gate.ledger.metrics.row, 1, "waited_too_long")
            self._leave()
            raise
        except BaseException as error:
            self._metrics.leave(type(error))
            self._leave()
            raise
        self._begin = time.monotonic()
        self._metrics.begin(work.max_tokens)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.leave(kind)
        # What the engine refuses has a line of its own, as a refusal.
        self._leave(is_told=not isinstance(error, InvalidRequest))

    def _leave(self, is_told: bool = True) -> None:
        counts = usage(self._metrics.last_deltas, self._work.num_candidates)
        num_prompt_tokens: int = counts["prompt_tokens"]
        num_completion_tokens: int = counts["completion_tokens"]
        ledger, column = self._gate.ledger, self._turn.column
        with ledger.locked():
            self._gate.queue.leave(self._turn)
            self._gate.limits.settle(
                self._key, column, self._num_reserved, num_prompt_tokens + num_completion_tokens
            )
            ledger.usage[PROMPT_TOKENS, column] += num_prompt_tokens
            ledger.usage[COMPLETION_TOKENS, column] += num_completion_tokens
        if not is_told:
            return
        now = time.monotonic()
        logger.info(
            "key %s: %d prompt and %d completion tokens, %.3f s in line, %.3f s in all",
            self._key.name,
            num_prompt_tokens,
            num_completion_tokens,
            self._begin - self._start,
            now - self._start,
        )
