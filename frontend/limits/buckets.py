"""Requests and tokens a minute of each key: two buckets that fill evenly and hold one minute's worth.

Tokens are reserved on entry and set right at the end, when it is known how many were used; a key that used
more than it had owes the difference, and waits until it has been refilled.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from frontend.errors import RateLimited, is_anthropic
from frontend.keys.key import ApiKey
from frontend.limits.ledger import SharedLedger

MINUTE_S = 60.0
# Rows of the ledger's `levels` and `times`.
REQUESTS, TOKENS = range(2)
_NAMES = ("requests", "tokens")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit per minute, and in how many seconds all of it will be there again."""

    name: str
    limit: int
    remaining: int
    reset_s: float


class RateLimits:
    """The caller of each method must hold the lock of the ledger; `column` is the key's."""

    def __init__(self, ledger: SharedLedger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock

    def reservation(self, key: ApiKey, num_tokens: int) -> int:
        """Tokens to reserve for a request that may use so many: a minute's at most, or it could never run."""
        return 0 if key.tokens_per_minute is None else max(1, min(num_tokens, key.tokens_per_minute))

    def charge(self, key: ApiKey, column: int, num_tokens: int) -> None:
        """Takes a request and its reserved tokens; raises RateLimited, taking nothing, without them."""
        amounts = (1, num_tokens)
        for row, limit in enumerate(key.limits_per_minute):
            level = self._refill(row, column, limit)
            if limit is not None and amounts[row] and level < amounts[row]:
                wait_s = (amounts[row] - level) * MINUTE_S / limit
                raise RateLimited(
                    f"Rate limit reached: {limit} {_NAMES[row]} per minute for this key.", wait_s
                )
        for row in range(2):
            self._ledger.levels[row, column] -= amounts[row]

    def settle(self, key: ApiKey, column: int, num_reserved: int, num_used: int) -> None:
        """Replaces the reserved tokens by those that were used."""
        if key.tokens_per_minute is not None:
            self._refill(TOKENS, column, key.tokens_per_minute)
            self._ledger.levels[TOKENS, column] += num_reserved - num_used

    def allowances(self, key: ApiKey, column: int) -> list[Allowance]:
        """What is left of the key's limits now."""
        return [
            _allowance(_NAMES[row], limit, self._refill(row, column, limit))
            for row, limit in enumerate(key.limits_per_minute)
            if limit is not None
        ]

    def _refill(self, row: int, column: int, limit: int | None) -> float:
        """The level of now."""
        now, last = self._clock(), float(self._ledger.times[row, column])
        level = 0.0
        if limit is not None:
            level = (
                float(self._ledger.levels[row, column]) + (now - last) * limit / MINUTE_S if last else limit
            )
            level = min(limit, level)
        self._ledger.levels[row, column] = level
        self._ledger.times[row, column] = now
        return level


def _allowance(name: str, limit: int, level: float) -> Allowance:
    return Allowance(name, limit, max(0, int(level)), (limit - level) * MINUTE_S / limit)


def limit_headers(allowances: Sequence[Allowance], path: str) -> dict[str, str]:
    """What is left, in the headers that the clients of the path's API read; none without limits."""
    to_headers = _anthropic_headers if is_anthropic(path) else _openai_headers
    return {name: value for allowance in allowances for name, value in to_headers(allowance).items()}


def _openai_headers(allowance: Allowance) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{allowance.name}": str(allowance.limit),
        f"x-ratelimit-remaining-{allowance.name}": str(allowance.remaining),
        f"x-ratelimit-reset-{allowance.name}": _duration(allowance.reset_s),
    }


def _anthropic_headers(allowance: Allowance) -> dict[str, str]:
    reset = datetime.now(timezone.utc) + timedelta(seconds=allowance.reset_s)
    return {
        f"anthropic-ratelimit-{allowance.name}-limit": str(allowance.limit),
        f"anthropic-ratelimit-{allowance.name}-remaining": str(allowance.remaining),
        f"anthropic-ratelimit-{allowance.name}-reset": reset.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _duration(seconds: float) -> str:
    """As OpenAI writes it: 0s, 120ms, 8.64s, 1m0s."""
    num_ms = math.ceil(seconds * 1000)
    if 0 < num_ms < 1000:
        return f"{num_ms}ms"
    minutes, rest = divmod(round(seconds, 2), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
