"""The thin shell, inside a stand-in for Triton's Python backend."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.model_repository.preprocess.asking import SEED_CHAT, tensors
from tests.model_repository.preprocess.backend_utils import Logger, Request, load_model
from tests.model_repository.preprocess.tiny_tokenizer import write_tiny_engine


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    write_tiny_engine(tmp_path / "engine")
    return load_model(monkeypatch, "preprocess", tmp_path, engine_dir="engine", max_model_len="64")


def test_every_output_is_there_on_every_request(model: Any) -> None:
    """A missing output would block the ensemble for ever."""
    (response,) = model.execute([Request(tensors(text_input="hello"))])
    assert set(response.outputs()) == {
        "input_ids",
        "input_lengths",
        "request_output_len",
        "end_id",
        "pad_id",
        "stop_words_list",
        "bad_words_list",
        "embedding_bias",
    }


def test_bad_requests_do_not_touch_the_good_one(model: Any) -> None:
    bad = [Request(tensors(messages=[])), Request(tensors(text_input=b"\xff")), Request({})]
    responses = model.execute([*bad, Request(tensors(messages=SEED_CHAT[1:])), *bad])
    assert [response.error is None for response in responses] == [False] * 3 + [True] + [False] * 3
    assert responses[0].error.code == "INVALID_ARG"
    assert json.loads(responses[0].error.message) == {
        "message": "messages must be a list of at least one message.",
        "param": "messages",
        "code": None,
    }


def test_an_error_of_ours_is_logged_and_not_shown(model: Any) -> None:
    class Unreadable:
        shape = (1, 1)

    broken = Request({"text_input": Unreadable()})  # type: ignore[dict-item]
    bad, good = model.execute([broken, Request(tensors(text_input="hello"))])
    assert bad.error.code == "INTERNAL"
    assert bad.error.message == "preprocess failed; the server's log tells why."
    assert "request-1" in Logger.lines[0]
    assert "AttributeError" in Logger.lines[0]
    assert good.error is None


def test_a_missing_engine_stops_the_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run `make build-engines`"):
        load_model(monkeypatch, "preprocess", tmp_path, engine_dir="nowhere")
