import json
from pathlib import Path

import pytest

from build.errors import Failure
from scripts import perf
from serving.settings import ServeSettings

SETTINGS = ServeSettings("127.0.0.1", 9000, 9001, 9002, has_keys=False, shutdown_grace_s=30)
INPUTS = Path("/inputs.json")


def test_load() -> None:
    assert "--concurrency-range=4" in perf.load_options("4")


@pytest.mark.parametrize("text", ["0", "x", "-1", "1:8"])
def test_a_bad_concurrency_is_named(text: str) -> None:
    with pytest.raises(Failure, match=f"^CONCURRENCY={text} "):
        perf.load_options(text)


def test_grpc() -> None:
    options = perf.grpc_options(SETTINGS, INPUTS)
    assert options[options.index("-u") + 1] == "127.0.0.1:9001"
    assert options[options.index("-m") + 1] == "ensemble"


def test_openai() -> None:
    options = perf.openai_options("http://127.0.0.1:9000", "model", INPUTS)
    assert options[options.index("-u") + 1] == "http://127.0.0.1:9000"


def test_the_running_frontend_is_measured_when_it_wants_no_key() -> None:
    with perf.open_frontend(SETTINGS) as url:
        assert url == SETTINGS.url


def test_both_ask_the_same() -> None:
    prompts = json.loads(perf.PROMPTS.read_text())
    tensors = perf.grpc_inputs(prompts)["data"]
    bodies = [entry["payload"][0] for entry in perf.openai_inputs(prompts, "model")["data"]]
    assert [entry["text_input"] for entry in tensors] == [[prompt] for prompt in prompts]
    assert [body["messages"][0]["content"] for body in bodies] == prompts
    assert {body["max_tokens"] for body in bodies} == {entry["max_tokens"][0] for entry in tensors}
