"""The thin shell, inside a stand-in for Triton's Python backend."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.model_repository.preprocess.backend_utils import Logger, Request, load_model
from tests.model_repository.preprocess.tiny_tokenizer import write_tiny_engine


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    write_tiny_engine(tmp_path / "engine")
    parameters = {"engine_dir": "engine", "special_ids": "0-2", "vocab_size": "266"}
    return load_model(monkeypatch, "postprocess", tmp_path, **parameters)


def request(*ids: int) -> Request:
    tensors = {
        "output_ids": np.array([[ids]], np.int32).reshape(1, 1, -1),
        "sequence_length": np.array([[len(ids)]], np.int32),
    }
    return Request(tensors, ["text_output", "output_bytes"])


def test_every_response_is_decoded_by_itself(model: Any) -> None:
    responses = model.execute([request(262, 2), request(), request(262)])
    assert [response.outputs()["text_output"].tolist() for response in responses] == [
        [[b"hello"]],
        [[b""]],
        [[b"hello"]],
    ]
    assert responses[0].outputs()["output_bytes"].tolist() == [[b"hello", b"<|im_end|>"]]


def test_an_id_out_of_range_does_not_touch_the_others(model: Any) -> None:
    good, bad, last = model.execute([request(262), request(99_999), request(262)])
    assert good.error is None
    assert last.error is None
    assert bad.error.code == "INTERNAL"
    assert "ids from 0 to" in bad.error.message
    assert "request-1" in Logger.lines[0]
