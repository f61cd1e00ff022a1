import itertools
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from contract.parameters import InvalidSettings
from decoder.paged_model import read_vocab_size
from engine import Engine, load_engine
from engine_settings import UNSUPPORTED_INPUTS
from guides.answer_guide import Guide
from openvino import opset13 as ops
from sampling.logit_edits import LogitEdit

from tests.model_repository.tensorrt_llm.asking import GUIDES, LIMITS, tensors
from tests.model_repository.tensorrt_llm.fake_batch import FakeBatch
from tests.model_repository.tensorrt_llm.fake_sender import TIMEOUT_S, FakeSender

PARAMETERS = {
    "engine_dir": "../engines/tiny",
    "unsupported_inputs": ",".join(UNSUPPORTED_INPUTS),
    "vocab_size": "100",
    "max_model_len": "64",
    "max_num_seqs": "4",
    "max_num_tokens": "32",
    "max_draft_len": "5",
    "tokens_per_block": "32",
    "max_tokens_in_paged_kv_cache": "64",
}


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(lambda: FakeBatch(lambda _: itertools.count(10), 4), LIMITS, LIMITS.vocab_size, GUIDES)
    yield engine
    engine.close()


def ask(engine: Engine, request_id: str = "a", **values: Any) -> FakeSender:
    sender = FakeSender()
    engine.accept(request_id, tensors(**values), sender)
    sender.wait()
    return sender


def test_an_answer(engine: Engine) -> None:
    assert ask(engine, request_output_len=2).ids == [1, 2, 3, 10, 11]


def test_a_refusal(engine: Engine) -> None:
    refusal = ask(engine, beam_width=2).refusal
    assert refusal is not None
    assert refusal.param == "beam_width"


def test_stop(engine: Engine) -> None:
    assert ask(engine, stop=True).is_closed


def test_stop_without_a_request_id_is_refused(engine: Engine) -> None:
    refusal = ask(engine, request_id="", stop=True).refusal
    assert refusal is not None
    assert refusal.param == "stop"


def test_the_unexpected_ends_one_request_only(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    sender = ask(engine, min_tokens=np.array([None]))
    assert sender.failure == "The engine could not take this request."
    assert "'a'" in caplog.text
    assert ask(engine).responses


GUIDED = tensors(guided_decoding_guide_type=b"regex", guided_decoding_guide=b"10 11", request_output_len=2)


class SlowGuides:
    """A compiler that takes as long as the test says."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def compile(self, guide: Guide, end_ids: Collection[int]) -> LogitEdit:
        self.has_begun.set()
        assert self.may_end.wait(TIMEOUT_S)
        return GUIDES.compile(guide, end_ids)

    def close(self) -> None: ...


@pytest.mark.row(32)
def test_nobody_waits_for_a_guide_that_takes_long_to_compile() -> None:
    guides = SlowGuides()
    stepped = threading.Event()
    engine = Engine(
        lambda: FakeBatch(lambda _: itertools.count(10), 4, stepped.set), LIMITS, LIMITS.vocab_size, guides
    )
    running, guided = FakeSender(), FakeSender()
    engine.accept("a", tensors(request_output_len=40, streaming=True), running)
    engine.accept("b", GUIDED, guided)
    assert guides.has_begun.wait(TIMEOUT_S)
    stepped.clear()
    # The running stream ends, others begin and end, a stop is answered: all of it while the compiler works.
    running.wait()
    assert len(running.ids) == 40
    assert ask(engine, "c", request_output_len=2).ids == [1, 2, 3, 10, 11]
    assert ask(engine, "c", stop=True).is_closed
    assert stepped.is_set()
    assert not guided.ended.is_set()
    guides.may_end.set()
    guided.wait()
    assert guided.responses
    engine.close()


def test_what_still_compiles_at_the_end_gets_its_error() -> None:
    guides = SlowGuides()
    engine = Engine(lambda: FakeBatch(lambda _: itertools.count(10), 4), LIMITS, LIMITS.vocab_size, guides)
    guided = FakeSender()
    engine.accept("a", GUIDED, guided)
    closing = threading.Thread(target=engine.close)
    closing.start()
    guides.may_end.set()
    closing.join(TIMEOUT_S)
    assert not closing.is_alive()
    guided.wait()


def model_config(**parameters: str) -> dict[str, Any]:
    merged = PARAMETERS | parameters
    return {"parameters": {name: {"string_value": text} for name, text in merged.items()}}


def test_a_missing_engine_stops_the_load(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="run `make build-engines`"):
        load_engine(model_config(), str(tmp_path / "models" / "tensorrt_llm"))


def test_a_damaged_engine_stops_the_load(tmp_path: Path) -> None:
    engine = tmp_path / "engines" / "tiny" / "engine"
    engine.mkdir(parents=True)
    (engine / "openvino_model.xml").write_text("<net")
    with pytest.raises(InvalidSettings, match="can't be opened"):
        load_engine(model_config(), str(tmp_path / "models" / "tensorrt_llm"))


def test_vocab_size_is_that_of_the_logits(tmp_path: Path) -> None:
    ids = ops.parameter([-1, -1, 7], np.float32)
    logits = ops.relu(ids)
    logits.output(0).get_tensor().set_names({"logits"})
    openvino.save_model(openvino.Model([logits], [ids]), tmp_path / "openvino_model.xml")
    assert read_vocab_size(tmp_path) == 7
