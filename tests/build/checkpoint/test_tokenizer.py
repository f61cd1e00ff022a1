"""The tokenizer of a Hugging Face folder is exactly the source's, or a sentence says what is wrong."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from chat_template import ChatTemplate
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from build.checkpoint.byte_level_bpe import byte_spelling
from build.checkpoint.tokenizer import TokenizerFacts, from_hugging_face
from build.errors import BuildError
from tests.build.llama3_tokenizer import from_tiktoken
from tests.model_repository.preprocess.reference import TOKENIZER_MODEL

LLAMA_FACTS = TokenizerFacts(
    vocab_size=128256,
    end_id=128009,
    stop_ids=(128001, 128008),
    special_ids=tuple(range(128000, 128256)),
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


def test_llama_s_own_template_is_installed(llama_folder: Path) -> None:
    assert (llama_folder / "chat_template.jinja").read_text("utf-8") == OWN_TEMPLATE


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
        # Either ends a text in transformers and vLLM.
        (
            {
                "tokenizer_config": {"eos_token": "<|im_start|>"},
                "generation_config": {"eos_token_id": 258},
            },
            258,
            (256, 257),
        ),
        ({"special_tokens_map": {"eos_token": {"content": "<|im_start|>"}}}, 257, (256, 258)),
    ],
)
def test_what_ends_a_text(
    tmp_path: Path, files: dict[str, Any], end_id: int, stop_ids: tuple[int, ...]
) -> None:
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), **files)
    facts = from_hugging_face(source, tmp_path / "out")
    assert facts == TokenizerFacts(259, end_id, stop_ids, (256, 257, 258))


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
        ("tokenizer_config.json", "{", "is not JSON"),
        ("generation_config.json", "[]", "is not a JSON object"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer())
    (source / name).write_text(content, "utf-8")
    with pytest.raises(BuildError, match=f"{name} {message}"):
        from_hugging_face(source, tmp_path / "out")


@pytest.mark.parametrize("bad", [[258, None], ["<|im_end|>"], [300], -1, 2.5, True, [[258]]])
def test_an_end_that_is_no_id_of_the_tokenizer_is_refused(tmp_path: Path, bad: Any) -> None:
    files = {"generation_config": {"eos_token_id": bad}}
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), **files)
    with pytest.raises(BuildError, match="is no id of its tokenizer"):
        from_hugging_face(source, tmp_path / "out")


def edited(change: dict[str, Any]) -> Tokenizer:
    """The tokenizer with parts of its JSON replaced; those of the model, if they are the model's."""
    state = json.loads(chatml_tokenizer().to_str())
    for key, value in change.items():
        (state["model"] if key in state["model"] else state)[key] = value
    return Tokenizer.from_str(json.dumps(state))


def training_limits() -> Tokenizer:
    tokenizer = edited({"dropout": 0.9, "unk_token": "a"})
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64, pad_id=256)
    return tokenizer


def test_what_cut_filled_or_varied_the_texts_of_a_training_is_off(tmp_path: Path) -> None:
    source = write_hugging_face(
        tmp_path / "source", training_limits(), tokenizer_config={"eos_token": "<|im_end|>"}
    )
    from_hugging_face(source, tmp_path / "out")
    written = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert (written.truncation, written.padding) == (None, None)
    assert (written.model.dropout, written.model.unk_token) == (None, None)
    assert [len(encoding.ids) for encoding in written.encode_batch(["abc def", "a"])] == [7, 1]


BYTES = {character: index for index, character in enumerate(byte_spelling())}
SPECIAL = {
    "id": 256,
    "content": "<|im_end|>",
    "special": True,
    "single_word": False,
    "lstrip": False,
    "rstrip": False,
    "normalized": False,
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def split(pattern: str, behavior: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"String": pattern}, "behavior": behavior, "invert": False}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"normalizer": {"type": "NFC"}}, r"normalizer \(NFC\) changes texts"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}}, "changes texts"),
        ({"normalizer": {"type": "Prepend", "prepend": "x"}}, r"\(Prepend\) changes texts"),
        ({"pre_tokenizer": BYTE_LEVEL | {"add_prefix_space": True}}, r"\(ByteLevel\) changes texts"),
        (sequence(BYTE_LEVEL | {"add_prefix_space": True}), r"\(ByteLevel\) changes texts"),
        (sequence(split(" ", "Removed"), BYTE_LEVEL), r"\(Split\) changes texts"),
        (sequence({"type": "WhitespaceSplit"}, BYTE_LEVEL), r"\(WhitespaceSplit\) changes texts"),
        (sequence(split(" ", "Isolated")), "pre-tokenizer is not byte-level"),
        ({"pre_tokenizer": None}, "pre-tokenizer is not byte-level"),
        ({"byte_fallback": True}, "byte_fallback is True"),
        ({"end_of_word_suffix": "</w>"}, "end_of_word_suffix is '</w>'"),
        ({"vocab": BYTES | {"你": 400}}, "token '你' has no fixed bytes"),
        ({"vocab": {c: i for c, i in BYTES.items() if c != "q"}}, "no token for the byte 0x71"),
        ({"added_tokens": []}, "no special token"),
        ({"added_tokens": [SPECIAL | {"lstrip": True}]}, "'<|im_end|>' depends on the text beside it"),
        ({"added_tokens": [SPECIAL | {"single_word": True}]}, "'<|im_end|>' depends on the text beside it"),
        (
            {
                "added_tokens": [
                    SPECIAL,
                    SPECIAL | {"id": 257, "content": "<a>", "special": False, "rstrip": True},
                ]
            },
            "'<a>' depends on the text beside it",
        ),
    ],
)
def test_a_tokenizer_that_changes_texts_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    config = {"generation_config": {"eos_token_id": 7}}
    source = write_hugging_face(tmp_path / "source", edited(change), **config)
    with pytest.raises(BuildError, match=message):
        from_hugging_face(source, tmp_path / "out")


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Sequence", "normalizers": []}},
        sequence(
            {"type": "Punctuation", "behavior": "Contiguous"},
            BYTE_LEVEL,
            {"type": "Digits", "individual_digits": False},
            split("\n", "Isolated"),
        ),
        {"vocab": {c: i for c, i in BYTES.items() if i not in (4, 0xFF)}},
    ],
)
def test_a_tokenizer_that_keeps_texts_is_taken(tmp_path: Path, change: dict[str, Any]) -> None:
    source = write_hugging_face(
        tmp_path / "source", edited(change), tokenizer_config={"eos_token": "<|im_end|>"}
    )
    from_hugging_face(source, tmp_path / "out")
    text = "Où?  It's 1,234\n\tΩ"
    written = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert written.decode(written.encode(text).ids) == text


def test_a_control_token_that_text_becomes_is_refused(tmp_path: Path) -> None:
    words = {"vocab": BYTES | {"hi": 400}, "merges": [["h", "i"]]}
    tokenizer = edited(words | {"added_tokens": [SPECIAL | {"id": 400, "content": "hi"}]})
    source = write_hugging_face(tmp_path / "source", tokenizer, tokenizer_config={"eos_token": "hi"})
    with pytest.raises(BuildError, match="'hi' becomes a control token"):
        from_hugging_face(source, tmp_path / "out")


def test_a_prefix_space_of_the_config_is_refused(tmp_path: Path) -> None:
    config = {"eos_token": "<|im_end|>", "add_prefix_space": True}
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), tokenizer_config=config)
    with pytest.raises(BuildError, match="add_prefix_space changes texts"):
        from_hugging_face(source, tmp_path / "out")


NAMES_ALONE = {"eos_token": "<|im_end|>", "pad_token": "!", "additional_special_tokens": ["<|im_start|>"]}
DECLARED = {
    "eos_token": "<|im_end|>",
    "added_tokens_decoder": {
        str(index): {"content": name, "special": True}
        for index, name in enumerate(("<|endoftext|>", "<|im_start|>", "<|im_end|>"), 256)
    },
}


@pytest.mark.parametrize(("config", "special_ids"), [(NAMES_ALONE, (257, 258)), (DECLARED, (256, 257, 258))])
@pytest.mark.parametrize("added", [[], ["<|im_start|>"]])
def test_the_config_makes_tokens_special_too(
    tmp_path: Path, config: dict[str, Any], special_ids: tuple[int, ...], added: list[str]
) -> None:
    names = {"<|endoftext|>": 256, "<|im_start|>": 257, "<|im_end|>": 258}
    tokenizer = edited({"added_tokens": [], "vocab": BYTES | names})
    tokenizer.add_tokens([AddedToken(name, special=False) for name in added])
    source = write_hugging_face(tmp_path / "source", tokenizer, tokenizer_config=config)
    assert from_hugging_face(source, tmp_path / "out").special_ids == special_ids


@pytest.mark.parametrize(
    ("name", "is_special"), [("<｜User｜>", True), ("<|eot|>", True), ("<think>", False), ("<||>", False)]
)
def test_clients_can_not_write_what_looks_like_a_control_token(
    tmp_path: Path, name: str, is_special: bool
) -> None:
    """DeepSeek's distilled Llamas have those of their template as plain added tokens."""
    tokenizer = chatml_tokenizer()
    tokenizer.add_tokens([AddedToken(name, special=False)])
    source = write_hugging_face(tmp_path / "source", tokenizer, tokenizer_config={"eos_token": "<|im_end|>"})
    assert (259 in from_hugging_face(source, tmp_path / "out").special_ids) is is_special


def test_every_named_token_is_there_for_the_template(tmp_path: Path) -> None:
    config = {
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": {"content": "<|endoftext|>"},
        "chat_template": "{{ pad_token }}{{ unk_token }}",
    }
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), tokenizer_config=config)
    from_hugging_face(source, tmp_path / "out")
    template = (tmp_path / "out" / "chat_template.jinja").read_text("utf-8")
    assert ChatTemplate(template, datetime.now).render([], None, add_generation_prompt=True) == (
        "<|endoftext|><|endoftext|>"
    )


@pytest.mark.parametrize(
    ("config", "first"),
    [
        ({"tokenizer_class": "LlamaTokenizer"}, [257]),
        ({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False}, []),
        ({"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": True}, []),
    ],
)
def test_what_stands_before_a_text_is_what_transformers_puts_there(
    tmp_path: Path, config: dict[str, Any], first: list[int]
) -> None:
    config = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"} | config
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), tokenizer_config=config)
    from_hugging_face(source, tmp_path / "out")
    written = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert written.encode("a").ids == [*first, BYTES["a"]]


@pytest.mark.parametrize("template", [7, {"default": 7}, [{"name": "default"}], ["x"]])
def test_a_template_of_another_form_is_refused(tmp_path: Path, template: Any) -> None:
    config = {"eos_token": "<|im_end|>", "chat_template": template}
    source = write_hugging_face(tmp_path / "source", chatml_tokenizer(), tokenizer_config=config)
    with pytest.raises(BuildError, match="chat template"):
        from_hugging_face(source, tmp_path / "out")
