import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_tokenizer import PromptTokenizer

from tests.fuzzing import examples
from tests.model_repository.preprocess.tiny_tokenizer import write_tiny_engine


@examples(300, repeats=True)
@given(text=st.one_of(st.text(), st.text(alphabet=" \n=-a1<|"), st.integers(1, 200).map(lambda n: " " * n)))
def test_the_lower_bound_is_one(text: str, llama_tokenizer: PromptTokenizer) -> None:
    assert llama_tokenizer.least_tokens(text) <= len(llama_tokenizer.encode(text))
    names = f"{text}<|eot_id|>" * 9
    assert llama_tokenizer.least_tokens(names, is_raw=True) <= len(llama_tokenizer.encode_completion(names))


def test_the_lower_bound_is_not_far_off(llama_tokenizer: PromptTokenizer) -> None:
    assert llama_tokenizer.least_tokens("1" * 3000) == 1000
    assert llama_tokenizer.least_tokens("a" * 4200) == 100


def test_a_rendered_chat_keeps_the_order_of_its_pieces(llama_tokenizer: PromptTokenizer) -> None:
    hello, world = llama_tokenizer.encode("Hello"), llama_tokenizer.encode(" world")
    assert llama_tokenizer.encode_rendered([128006, "Hello", 128007, " world", 128009]) == [
        *[128006, *hello],
        *[128007, *world],
        128009,
    ]


def _edited(engine_dir: Path, **model: object) -> Path:
    path = engine_dir / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    tokenizer["model"].update(model)
    path.write_text(json.dumps(tokenizer), "utf-8")
    return path


def test_a_byte_that_the_vocabulary_lacks_is_dropped(tmp_path: Path) -> None:
    """Not replaced by the unknown token, which is a control token."""
    engine_dir = write_tiny_engine(tmp_path / "tiny")
    path = engine_dir / "tokenizer" / "tokenizer.json"
    vocabulary = json.loads(path.read_text("utf-8"))["model"]["vocab"]
    del vocabulary["Ą"]
    tokenizer = PromptTokenizer(_edited(engine_dir, vocab=vocabulary, unk_token="<|endoftext|>"))
    assert tokenizer.encode("a\x04b") == tokenizer.encode("a") + tokenizer.encode("b")


def test_a_vocabulary_that_can_spell_a_control_token_is_refused(tmp_path: Path) -> None:
    engine_dir = write_tiny_engine(tmp_path / "tiny")
    path = engine_dir / "tokenizer" / "tokenizer.json"
    path.write_text(
        path.read_text("utf-8").replace("<|im_end|>", "aaaa").replace('"aaaa":', '"aaaa ":', 0), "utf-8"
    )
    with pytest.raises(ValueError, match="'aaaa' becomes a control token"):
        PromptTokenizer(path)


@pytest.mark.parametrize("word", ["Paris", " Paris"])
def test_a_banned_word_is_banned_at_the_beginning_and_within(
    word: str, llama_tokenizer: PromptTokenizer
) -> None:
    banned = llama_tokenizer.encode_banned(word)
    assert {tuple(ids) for ids in banned} == {tuple(llama_tokenizer.encode(it)) for it in ("Paris", " Paris")}
    assert len(banned) == 2


def test_a_banned_control_token_is_itself(llama_tokenizer: PromptTokenizer) -> None:
    assert llama_tokenizer.encode_banned("<|eot_id|>") == [[128009]]
