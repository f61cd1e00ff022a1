import threading

import pytest

from serving.node.probe import Probe, Sick


def probe_until(answers: list[object], silence_s: float = 60) -> Probe:
    """A probe that has heard all answers: a bool is returned, a text is raised as Sick."""
    heard = threading.Event()
    remaining = iter(answers)

    def check() -> bool:
        answer = next(remaining, None)
        if answer is None:
            heard.set()
            probe.close()
            return False
        if isinstance(answer, str):
            raise Sick(answer)
        return bool(answer)

    probe = Probe(check, silence_s, interval_s=0.01)
    assert heard.wait(30)
    return probe


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([True, True], None),
        ([False, False, True], None),
        (["a"], None),
        (["a", True, "b"], None),
        (["a", "b"], "b"),
        (["a", False, "b"], "b"),
    ],
)
def test_two_bad_answers_in_a_row_are_a_complaint(answers: list[object], complaint: str | None) -> None:
    assert probe_until(answers).complaint() == complaint


def test_silence_is_a_complaint() -> None:
    assert probe_until([True, False], silence_s=-1).complaint() == "no answer for 0 s"


def test_a_check_that_hangs_is_silence() -> None:
    hangs = threading.Event()
    probe = Probe(hangs.wait, silence_s=0.05, interval_s=0)
    while probe.complaint() is None:
        pass
    probe.close()
    hangs.set()
