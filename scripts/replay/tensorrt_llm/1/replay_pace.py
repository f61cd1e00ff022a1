"""How fast a sequence is written."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens per second of one stream, 0 for flat out; jitter is a part of the time between two responses."""

    tokens_per_second: float = 0.0
    jitter: float = 0.0
    tokens_per_response: int = 1

    def seconds(self, steps: int) -> float:
        return steps / self.tokens_per_second if self.tokens_per_second else 0.0

    def steps_in(self, seconds: float) -> int:
        """Whole steps; flat out, there is no end to them."""
        return int(seconds * self.tokens_per_second) if self.tokens_per_second else 0

    def delay(self) -> float:
        """Seconds by which a response is late; its turn stays where it is, so that nothing adds up."""
        if not self.jitter or not self.tokens_per_second:
            return 0.0
        return self.seconds(self.tokens_per_response) * self.jitter * random.random()  # noqa: S311 - no secret
