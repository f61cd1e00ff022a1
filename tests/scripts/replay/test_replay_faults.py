"""What can be made to go wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.parameters import InvalidSettings

from tests.model_repository.tensorrt_llm.fake_sender import FakeSender
from tests.scripts.replay.asking import Asking, replay_engine, word_list
from tests.scripts.replay.tiny_vocabulary import END_ID, STOP_ID


def faulty(folder: Path, kind: str, after: int = 0, **parameters: str) -> Any:
    return replay_engine(folder, fault=kind, fault_after=str(after), **parameters)


@pytest.mark.parametrize("after", [0, 3])
def test_error_after_tokens(folder: Path, after: int) -> None:
    with faulty(folder, "error", after) as engine:
        streaming, whole = engine.ask(streaming=True), engine.ask()
    assert len(streaming.ids) == after
    assert whole.responses == []
    for sender in (streaming, whole):
        assert sender.failure is not None
        assert sender.failure.startswith("Executor failed process requestId ")


def test_a_text_that_is_shorter_never_gets_there(folder: Path) -> None:
    with faulty(folder, "error", 9) as engine:
        assert len(engine.ask(streaming=True).ids) == 8
        assert engine.ask().failure is None


@pytest.mark.parametrize("after", [0, 3])
def test_the_end_without_a_response(folder: Path, after: int) -> None:
    with faulty(folder, "no_response", after) as engine:
        sender = engine.ask(streaming=True)
    assert sender.is_closed
    assert [response.is_final for response in sender.responses] == [False] * after


@pytest.mark.parametrize(("kind", "num_ids"), [("hang", 3), ("never_final", 8)])
def test_silence_until_it_is_stopped(folder: Path, kind: str, num_ids: int) -> None:
    with faulty(folder, kind, 3) as engine:
        sender = engine.start(request_id="silent", streaming=True)
        for _ in range(num_ids):
            sender.wait_for_a_response()
        assert not sender.ended.wait(0.2)
        engine.ask(request_id="silent", stop=True)
        assert len(sender.wait().ids) == num_ids
        assert sender.responses[-1].ids == []


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("wrong_dtype", lambda tensors: tensors["output_ids"].dtype == "float32"),
        ("wrong_shape", lambda tensors: tensors["output_ids"].ndim == 1),
        ("missing_tensor", lambda tensors: "output_ids" not in tensors),
    ],
)
def test_broken_tensors(folder: Path, kind: str, broken: Any, streaming: bool) -> None:
    with faulty(folder, kind, 3) as engine:
        sender = engine.ask(streaming=streaming)
    expected = [False] * 3 + [True] * 5 if streaming else [True]
    assert [broken(response.tensors) for response in sender.responses] == expected


def test_an_unknown_fault_stops_the_start(folder: Path) -> None:
    with pytest.raises(InvalidSettings, match="fault: must be one of"), faulty(folder, "headache"):
        pass


class Obedient:
    """An engine that takes directives, and its texts."""

    def __init__(self, engine: Asking) -> None:
        self._engine = engine

    def tell(self, directive: object, **tensors: Any) -> FakeSender:
        text = directive if isinstance(directive, str) else f"<<replay {json.dumps(directive)}>>"
        request = {"request_output_len": 100, "end_id": END_ID, "streaming": True, **tensors}
        return self._engine.ask(input_ids=spelled(f"hello {text} bye"), **request)

    def said(self, directive: object, **tensors: Any) -> str:
        return bytes(index - 2 for index in self.tell(directive, **tensors).ids).decode()


@pytest.fixture(scope="module")
def obedient(folder: Path) -> Iterator[Obedient]:
    with replay_engine(folder, takes_directives="true", max_model_len="400") as engine:
        yield Obedient(engine)


def spelled(text: str) -> list[int]:
    """Every byte is a token, two control tokens before them."""
    return [2 + byte for byte in text.encode()]


class TestDirectives:
    def test_says_what_it_is_told(self, obedient: Obedient) -> None:
        assert obedient.said({"say": 'f\u00fc\u00dfe "x" }'}) == 'f\u00fc\u00dfe "x" }'
        assert obedient.tell({"say": "ab"}).responses[-1].ids == []

    def test_the_last_one_counts(self, obedient: Obedient) -> None:
        assert obedient.said('<<replay {"say": "a"}>><<replay {"say": "b"}>>') == "b"

    def test_control_tokens_in_it_are_tokens(self, obedient: Obedient) -> None:
        sender = obedient.tell({"say": "ab<|stop|>cd"}, stop_words_list=word_list([STOP_ID]))
        assert sender.ids == [*spelled("ab"), STOP_ID]

    def test_the_length_cuts_it(self, obedient: Obedient) -> None:
        assert obedient.said({"say": "abcdef"}, request_output_len=4) == "abcd"

    def test_a_fault_of_one_request(self, obedient: Obedient) -> None:
        assert len(obedient.tell({"fault": "error", "after": 2}).ids) == 2
        assert obedient.tell({"say": "a", "fault": "no_response"}).is_closed
        assert obedient.tell({"say": "a"}).failure is None

    @pytest.mark.parametrize(
        "directive",
        [
            "<<replay {}}>>",
            {"fault": "headache"},
            {"mood": "good"},
            {"say": 3},
            {"fault": "error", "after": "now"},
        ],
    )
    def test_nonsense_is_refused(self, obedient: Obedient, directive: object) -> None:
        assert "a directive of the replay engine" in (obedient.tell(directive).failure or "")

    def test_they_are_text_unless_switched_on(self, folder: Path) -> None:
        with replay_engine(folder, max_model_len="400") as engine:
            ids = engine.ask(input_ids=spelled('<<replay {"say": "a"}>>'), end_id=END_ID, streaming=True).ids
        assert len(ids) == 8
