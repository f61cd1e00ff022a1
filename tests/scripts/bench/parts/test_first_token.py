from collections.abc import Mapping
from typing import Any

import pytest

from scripts.bench.parts.first_token import LENGTHS, NUM_ROUNDS, SOURCE, measure_kinds


class FakeServer:
    """Takes a millisecond more from one prompt of a kind to the next, and 50 for the very first."""

    def __init__(self) -> None:
        self.prompts: list[Any] = []

    def ask(self, body: Mapping[str, Any]) -> tuple[float, int]:
        prompt = body["prompt"]
        same = [each for each in self.prompts if type(each) is type(prompt) and len(each) == len(prompt)]
        self.prompts.append(prompt)
        return (len(same) / 1e3 if same else 0.05), len(prompt)


def test_each_kind_of_each_length_and_never_a_prompt_twice() -> None:
    server = FakeServer()
    rows = list(measure_kinds(server.ask, SOURCE.read_text()))
    assert [(row.prompt, row.prompt_tokens) for row in rows] == [
        row for length in LENGTHS for row in (("ids", length), ("text", 3 * length))
    ]
    assert len({str(prompt) for prompt in server.prompts}) == 2 * len(LENGTHS) * (NUM_ROUNDS + 1)


def test_the_first_of_a_kind_is_not_counted() -> None:
    row = next(measure_kinds(FakeServer().ask, "a line\nand another\n"))
    assert (row.least_ms, row.median_ms, row.most_ms) == pytest.approx((1, (NUM_ROUNDS + 1) / 2, NUM_ROUNDS))
