"""Many requests whose generations are all refused within Triton, among good ones."""

from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest

from tests.integration.live_stack import LiveStack

NUM_BAD = 60


@pytest.mark.row(37)
def test_refused_choices_neither_end_triton_nor_disturb_anybody(
    http: httpx.Client, live_stack: LiveStack
) -> None:
    """tritonserver 2.51 used to die of these within seconds."""
    good = {"model": live_stack.model, "prompt": "One two three", "max_tokens": 8, "temperature": 0}
    bad = {**good, "n": 8, "max_tokens": 10**6, "temperature": 1}
    alone = http.post("/v1/completions", json=good).json()["choices"][0]["text"]
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda body: http.post("/v1/completions", json=body), [bad] * NUM_BAD + [good])
        )
    assert {(answer.status_code, answer.json()["error"]["param"]) for answer in answers[:-1]} == {
        (400, "max_tokens")
    }
    assert answers[-1].json()["choices"][0]["text"] == alone
    assert "tritonserver ended" not in live_stack.log.read_text()
