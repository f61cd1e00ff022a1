"""What a model sends through the interface, with a socket that keeps it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class KeptSocket:
    """Its methods are those of EngineSocket that the interface uses."""

    def __init__(self, *, is_gone: bool = False) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self._is_gone = is_gone

    def send_response(self, key: int, tensors: Sequence[Any], flags: int) -> None:
        self._keep(key, [name for name, _ in tensors], flags)

    def send_flags(self, key: int, flags: int) -> None:
        self._keep(key, flags)

    def send_error(self, key: int, code: int, text: str) -> None:
        self._keep(key, code, text)

    def open_family(self, name: str, text: str) -> None:
        self._keep(name, text)

    def open_metric(self, family: int, labels: Mapping[str, str]) -> None:
        self._keep(family, dict(labels))

    def set_gauge(self, metric: int, value: float) -> None:
        self._keep(metric, value)

    def _keep(self, *sent: Any) -> None:
        if self._is_gone:
            raise BrokenPipeError("gone")
        self.sent.append(sent)


def sender_to(kept: KeptSocket) -> tuple[pb_utils.ResponseSender, list[int]]:
    ended: list[int] = []
    return pb_utils.ResponseSender(kept, 5, {"output_ids"}, ended.append), ended  # type: ignore[arg-type]


def response(*names: str) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.zeros(1, np.int32)) for name in names])


def test_responses_up_to_the_final_one() -> None:
    kept = KeptSocket()
    sender, ended = sender_to(kept)
    sender.send(response("output_ids", "unwanted"))
    assert ended == []
    sender.send(flags=FINAL)
    assert kept.sent == [(5, ["output_ids"], 0), (5, FINAL)]
    assert ended == [5]


@pytest.mark.parametrize(
    "last", [{"flags": FINAL}, {"response": pb_utils.InferenceResponse(error=pb_utils.TritonError("no"))}]
)
def test_nothing_follows_the_end(last: dict[str, Any]) -> None:
    kept = KeptSocket()
    sender, ended = sender_to(kept)
    sender.send(**last)
    with pytest.raises(pb_utils.TritonModelException, match="after the final one"):
        sender.send(response("output_ids"))
    assert (len(kept.sent), ended) == (1, [5])


def test_an_error_has_its_code_and_its_text() -> None:
    kept = KeptSocket()
    sender, _ = sender_to(kept)
    sender.send(
        pb_utils.InferenceResponse([], pb_utils.TritonError("no", pb_utils.TritonError.INVALID_ARG)), FINAL
    )
    assert kept.sent == [(5, 3, "no")]


def test_a_tritonserver_that_is_gone_is_an_error_of_the_model() -> None:
    sender, ended = sender_to(KeptSocket(is_gone=True))
    with pytest.raises(pb_utils.TritonModelException, match="can't be reached: gone"):
        sender.send(response("output_ids"), flags=FINAL)
    assert ended == [5]


def test_gauges_are_numbered_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptSocket()
    monkeypatch.setattr(pb_utils.MetricFamily, "connection", kept, raising=False)
    first = pb_utils.MetricFamily(name="a", description="A", kind=pb_utils.MetricFamily.GAUGE)
    second = pb_utils.MetricFamily(name="b", description="B", kind=pb_utils.MetricFamily.GAUGE)
    gauges = [family.Metric(labels={"x": str(number)}) for number, family in enumerate((first, second))]
    gauges[1].set(2.5)
    (_, _, (family_a, _), (family_b, _), (_, value)) = kept.sent
    assert (family_b - family_a, value) == (1, 2.5)
    with pytest.raises(pb_utils.TritonModelException, match="only gauges"):
        pb_utils.MetricFamily(name="c", description="C", kind=0)
