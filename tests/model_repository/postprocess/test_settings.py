import json
from pathlib import Path

import pytest
from postprocess_settings import load_token_bytes, read_ranges

from tests.model_repository.preprocess.tiny_tokenizer import write_tiny_engine

PARAMETERS = {"engine_dir": "tiny", "special_ids": "0-2", "vocab_size": "266"}


@pytest.mark.parametrize(
    ("text", "ids"),
    [("0-2", {0, 1, 2}), ("7", {7}), ("0-1,5, 8-9", {0, 1, 5, 8, 9}), ("3-3", {3})],
)
def test_ranges_include_both_ends(text: str, ids: set[int]) -> None:
    assert read_ranges(text) == ids


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1;2", "1,,2", "1-2-3"])
def test_a_wrong_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="special_ids must be ids and ranges"):
        read_ranges(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine_dir": "elsewhere"}, r"elsewhere.*is missing: run `make build-engines`"),
        ({"special_ids": "0-1"}, "special_ids does not fit .*: they differ at id 2"),
        ({"special_ids": "0-3"}, "they differ at id 3"),
        ({"vocab_size": "1000"}, "vocab_size does not fit .*: '1000' is not 266"),
        ({"vocab_size": "many"}, "vocab_size does not fit .*: 'many' is not"),
    ],
)
def test_a_wrong_parameter_stops_the_load(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    write_tiny_engine(tmp_path / "tiny")
    with pytest.raises(ValueError, match=message):
        load_token_bytes(PARAMETERS | changes, tmp_path)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_missing_parameter_stops_the_load(tmp_path: Path, name: str) -> None:
    write_tiny_engine(tmp_path / "tiny")
    parameters = dict(PARAMETERS)
    del parameters[name]
    with pytest.raises(ValueError, match=f"The parameter {name} of postprocess is missing"):
        load_token_bytes(parameters, tmp_path)


def test_a_vocabulary_that_is_not_byte_level_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "sentencepiece" / "tokenizer"
    folder.mkdir(parents=True)
    tokenizer = {"model": {"vocab": {"▁the": 0}}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    with pytest.raises(ValueError, match="not byte-level: its token '▁the'"):
        load_token_bytes({"engine_dir": "sentencepiece", "special_ids": "0"}, tmp_path)
