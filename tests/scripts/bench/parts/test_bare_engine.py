"""The load on the engine alone."""

from types import SimpleNamespace
from typing import Any

import pytest

from scripts.bench.parts.bare_engine import write_all


class DraftingPipeline:
    """Gives three ids of each running text in a step, as drafts that are right do."""

    def __init__(self) -> None:
        self.running: list[Any] = []
        self.stopped: list[Any] = []

    def start(self, request: Any) -> Any:
        self.running.append(request)
        return request

    def stop(self, sequence: Any) -> None:
        self.running.remove(sequence)
        self.stopped.append(sequence)

    def step(self) -> list[Any]:
        return [SimpleNamespace(sequence=sequence) for sequence in self.running for _ in range(3)]


@pytest.mark.parametrize("num_tokens", [1, 3, 4, 6])
def test_texts_end_at_their_length_within_a_step_of_several_ids(num_tokens: int) -> None:
    pipeline: Any = DraftingPipeline()
    write_all(pipeline, ["a", "b"], num_tokens)  # type: ignore[list-item]
    assert pipeline.stopped == ["a", "b"]
    assert not pipeline.running
