import logging

import pytest
from contract.response_stream import ResponseStream

from tests.model_repository.tensorrt_llm.fake_sender import FakeSender


def test_a_lost_response_ends_the_answer_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    sender = FakeSender()
    responses = ResponseStream("a", sender)
    sender.loses_responses = True
    responses.send({}, is_final=False)
    assert sender.failure == "A part of this answer was lost."
    assert responses.is_abandoned
    assert "'a'" in caplog.text


def test_nothing_follows_a_lost_response() -> None:
    sender = FakeSender()
    responses = ResponseStream("a", sender)
    sender.loses_responses = True
    responses.send({}, is_final=False)
    sender.loses_responses = False
    responses.send({}, is_final=True)
    responses.fail("The server is shutting down.")
    responses.close()
    assert sender.responses == []
    assert sender.failure == "A part of this answer was lost."


def test_a_client_that_left_abandons_its_answer() -> None:
    sender = FakeSender()
    responses = ResponseStream("a", sender)
    assert not responses.is_abandoned
    sender.has_left = True
    assert responses.is_abandoned


def test_an_end_that_is_lost_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class ClosedSender(FakeSender):
        def close(self) -> None:
            self.loses_responses = True
            self.send({}, is_final=True)

    with caplog.at_level(logging.ERROR):
        ResponseStream("b", ClosedSender()).close()
    assert "'b'" in caplog.text
