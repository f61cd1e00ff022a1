import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.tensors import InvalidInput
from guides.answer_guide import Guide
from guides.guide_trials import TOO_LARGE, TriedGuides

from scripts.bench.stack import children
from tests.model_repository.preprocess.tiny_tokenizer import END_ID, write_tiny_engine
from tests.patience import PATIENCE_S, is_gone, wait_until

VOCAB_SIZE = 300


@pytest.fixture(scope="module")
def guides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TriedGuides]:
    tokenizer = write_tiny_engine(tmp_path_factory.mktemp("tiny")) / "tokenizer" / "tokenizer.json"
    guides = TriedGuides(tokenizer, VOCAB_SIZE)
    yield guides
    guides.close()


def trial_servers() -> list[int]:
    return children(os.getpid(), "trial_process")


def schema(**members: Any) -> Guide:
    return Guide("json_schema", json.dumps(members))


# The first took seven minutes and 4.4 GB.
COSTLY = {
    "a large divisor": schema(type="integer", multipleOf=12345677),
    "deep within": schema(
        type="object",
        properties={"a": {"type": "array", "items": {"type": "integer", "multipleOf": 7654321}}},
    ),
    "patterns together": schema(
        allOf=[{"type": "string", "pattern": f"(a|b)*a(a|b){{{length}}}"} for length in range(10, 30)]
    ),
}


@pytest.mark.row(32)
@pytest.mark.parametrize("guide", COSTLY.values(), ids=COSTLY.keys())
def test_a_guide_that_costs_too_much_is_refused_and_holds_up_nobody(
    guide: Guide, guides: TriedGuides
) -> None:
    refusals: list[str] = []

    def try_costly() -> None:
        try:
            guides.compile(guide, [END_ID])
        except InvalidInput as error:
            refusals.append(str(error))

    costly = threading.Thread(target=try_costly)
    costly.start()
    guides.compile(Guide("regex", f"yes|{len(guide.text)}"), [END_ID])
    costly.join(PATIENCE_S)
    assert len(refusals) == 1
    assert TOO_LARGE in refusals[0]


def test_what_is_wrong_otherwise_is_told_as_ever(guides: TriedGuides) -> None:
    with pytest.raises(InvalidInput, match="can't be compiled") as refusal:
        guides.compile(Guide("regex", "("), [END_ID])
    assert TOO_LARGE not in str(refusal.value)


def test_a_process_that_somebody_killed_comes_again(guides: TriedGuides) -> None:
    (server,) = trial_servers()
    os.kill(server, signal.SIGKILL)
    guides.compile(Guide("regex", "never seen"), [END_ID])
    (successor,) = trial_servers()
    assert successor != server


def test_the_process_goes_with_the_guides(guides: TriedGuides, tmp_path: Path) -> None:
    before = set(trial_servers())
    others = TriedGuides(write_tiny_engine(tmp_path) / "tokenizer" / "tokenizer.json", VOCAB_SIZE)
    (server,) = set(trial_servers()) - before
    others.close()
    wait_until(lambda: is_gone(server))
