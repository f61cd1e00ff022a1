"""What is left of a key's limits, in the headers that OpenAI's and Anthropic's clients read."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from frontend.errors import is_anthropic
from frontend.limits.buckets import Allowance


def limit_headers(allowances: Sequence[Allowance], path: str) -> dict[str, str]:
    """Headers of the API that is served at the path; none without limits."""
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
