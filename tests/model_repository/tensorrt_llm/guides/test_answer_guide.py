import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.tensors import InvalidInput
from guides.answer_guide import Guide, GuideCompiler, read_guide
from numpy.typing import NDArray
from sampling.logit_edits import LogitEdit
from tokenizers import Tokenizer

from tests.model_repository.preprocess.tiny_tokenizer import CONTROL, END_ID, write_tiny_engine

# More than the tokenizer has, as in padded models.
VOCAB_SIZE = 300
OTHER_CONTROL_IDS = [index for index in range(len(CONTROL)) if index != END_ID]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 9}, "ages": {"type": "array", "maxItems": 3}},
    "required": ["name", "ages"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_engine(tmp_path_factory.mktemp("tiny")) / "tokenizer" / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer(tokenizer_json: Path) -> Tokenizer:
    return Tokenizer.from_file(str(tokenizer_json))


@pytest.fixture(scope="module")
def compiler(tokenizer_json: Path) -> GuideCompiler:
    return GuideCompiler(tokenizer_json, VOCAB_SIZE)


def allowed(edit: LogitEdit) -> set[int]:
    logits = np.zeros(VOCAB_SIZE, np.float32)
    edit.apply(logits)
    return set(np.flatnonzero(logits == 0).tolist())


def written(edit: LogitEdit, tokenizer: Tokenizer, seed: int) -> str:
    """What a model writes that has no preference but to come to an end."""
    random = np.random.default_rng(seed)
    ids: list[int] = []
    while len(ids) < 500:
        logits = random.standard_normal(VOCAB_SIZE).astype(np.float32)
        logits[[END_ID, *(tokenizer.token_to_id(mark) for mark in '"}]')]] += 3
        edit.apply(logits)
        token_id = int(logits.argmax())
        if token_id == END_ID:
            return str(tokenizer.decode(ids))
        ids.append(token_id)
        edit.note(token_id)
    raise AssertionError("it came to no end")


def accepts(edit: LogitEdit, tokenizer: Tokenizer, text: str) -> bool:
    for token_id in tokenizer.encode(text).ids:
        if token_id not in allowed(edit):
            return False
        edit.note(token_id)
    return END_ID in allowed(edit)


@pytest.mark.parametrize("seed", range(5))
def test_a_schema_is_obeyed(seed: int, compiler: GuideCompiler, tokenizer: Tokenizer) -> None:
    edit = compiler.compile(Guide("json_schema", json.dumps(SCHEMA)), [END_ID])
    answer = json.loads(written(edit, tokenizer, seed))
    assert answer.keys() == {"name", "ages"}
    assert len(answer["name"]) <= 9
    assert len(answer["ages"]) <= 3


@pytest.mark.parametrize("seed", range(5))
def test_json_is_an_object(seed: int, compiler: GuideCompiler, tokenizer: Tokenizer) -> None:
    edit = compiler.compile(Guide("json", ""), [END_ID])
    assert isinstance(json.loads(written(edit, tokenizer, seed)), dict)


@pytest.mark.parametrize(
    ("text", "is_accepted"),
    [
        ('{"a":[1,2]}', True),
        ('{"a": [1, 2]}', True),
        ('{ "a" : [ 1 , 2 ] }', True),
        ('{"a":  [1]}', False),
        ('{\n"a": [1]}', False),
        (' {"a": [1]}', False),
        ('{"a": [1]} ', False),
    ],
)
@pytest.mark.parametrize(
    "guide",
    [
        Guide("json", ""),
        Guide("json_schema", '{"type": "object"}'),
        Guide("json_schema", '{"type": "object", "x-guidance": {"whitespace_pattern": "\\\\s+"}}'),
    ],
)
def test_json_has_one_blank_at_most(
    guide: Guide, text: str, is_accepted: bool, compiler: GuideCompiler, tokenizer: Tokenizer
) -> None:
    assert accepts(compiler.compile(guide, [END_ID]), tokenizer, text) == is_accepted


@pytest.mark.parametrize(
    ("guide_type", "text", "expected"),
    [
        ("regex", "[a-z]{3,5}", "[a-z]{3,5}"),
        ("regex", "^(yes|no)$", "yes|no"),
        ("ebnf_grammar", 'root ::= "yes" | "no"', "yes|no"),
        ("ebnf_grammar", 'root ::= "ja" | "jawohl" | "naïve"', "ja|jawohl|naïve"),
        ("ebnf_grammar", 'start: "yes" | "no"', "yes|no"),
        ("ebnf_grammar", '%llguidance {}\nstart: NUMBER ("," NUMBER)*\nNUMBER: /[0-9]/', "[0-9](,[0-9])*"),
        ("ebnf_grammar", '?start: a "::=" b\na: "x"\nb: "y"', "x::=y"),
        ("ebnf_grammar", 'root ::= "a: " "b"', "a: b"),
        ("ebnf_grammar", 'root ::= number ("," number){0,3}\nnumber ::= [0-9]', "[0-9](,[0-9]){0,3}"),
    ],
)
def test_other_guides_are_obeyed(
    guide_type: str, text: str, expected: str, compiler: GuideCompiler, tokenizer: Tokenizer
) -> None:
    for seed in range(5):
        answer = written(compiler.compile(Guide(guide_type, text), [END_ID]), tokenizer, seed)
        assert re.fullmatch(expected, answer), answer


def test_thousands_of_choices(compiler: GuideCompiler, tokenizer: Tokenizer) -> None:
    choices = " | ".join(json.dumps(f"choice {index}") for index in range(3000))
    edit = compiler.compile(Guide("ebnf_grammar", f"root ::= {choices}"), [END_ID])
    assert accepts(edit, tokenizer, "choice 2999")


@pytest.mark.parametrize("end_ids", [[], [END_ID], [END_ID, 0], [3]])
def test_only_end_ids_follow_a_complete_answer(
    end_ids: list[int], compiler: GuideCompiler, tokenizer: Tokenizer
) -> None:
    edit = compiler.compile(Guide("regex", "ab?"), end_ids)
    a, b = tokenizer.token_to_id("a"), tokenizer.token_to_id("b")
    assert allowed(edit) == {a}
    edit.note(a)
    assert allowed(edit) == {b, *end_ids}
    edit.note(b)
    assert allowed(edit) == set(end_ids)
    assert allowed(edit) == set(end_ids)


def test_an_end_id_may_be_text(compiler: GuideCompiler, tokenizer: Tokenizer) -> None:
    b = tokenizer.token_to_id("b")
    edit = compiler.compile(Guide("regex", "a"), [b])
    edit.note(tokenizer.token_to_id("a"))
    assert allowed(edit) == {b}
    edit.note(b)
    assert allowed(edit) == {b}


def test_control_ids_are_no_text(compiler: GuideCompiler) -> None:
    assert allowed(compiler.compile(Guide("regex", "(?s:.*)"), [END_ID])).isdisjoint(OTHER_CONTROL_IDS)


def test_compiled_guides_are_independent(compiler: GuideCompiler, tokenizer: Tokenizer) -> None:
    first, second = (compiler.compile(Guide("regex", "ab"), [END_ID]) for _ in range(2))
    first.note(tokenizer.token_to_id("a"))
    assert allowed(first) == {tokenizer.token_to_id("b")}
    assert allowed(second) == {tokenizer.token_to_id("a")}


@pytest.mark.parametrize(
    ("guide_type", "text", "written"),
    [
        (
            "json_schema",
            '{"patternProperties": {"^[k]$": {}}, "properties": {"k": {}}, "additionalProperties": false}',
            '{"k":1, ',
        ),
        ("regex", "a", "b"),
    ],
)
def test_a_dead_end_is_an_error(
    guide_type: str, text: str, written: str, compiler: GuideCompiler, tokenizer: Tokenizer
) -> None:
    edit = compiler.compile(Guide(guide_type, text), [END_ID])
    for token_id in tokenizer.encode(written).ids:
        edit.note(token_id)
    with pytest.raises(InvalidInput, match="dead end") as refusal:
        allowed(edit)
    assert refusal.value.param == "guided_decoding_guide"


def test_a_choice_that_the_vocabulary_can_not_spell_is_an_error(tmp_path: Path) -> None:
    """SmolLM2's vocabulary lacks six control characters."""
    path = write_tiny_engine(tmp_path / "tiny") / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(path.read_text("utf-8"))
    del tokenizer["model"]["vocab"]["Ą"]
    path.write_text(json.dumps(tokenizer), "utf-8")
    guide = Guide("ebnf_grammar", 'root ::= "a\\x04b"')
    edit = GuideCompiler(path, VOCAB_SIZE).compile(guide, [END_ID])
    for character in "ab":
        edit.note(tokenizer["model"]["vocab"][character])
    with pytest.raises(InvalidInput, match="dead end"):
        allowed(edit)


def test_what_is_banned_may_make_a_dead_end(compiler: GuideCompiler, tokenizer: Tokenizer) -> None:
    edit = compiler.compile(Guide("regex", "a"), [END_ID])
    logits = np.zeros(VOCAB_SIZE, np.float32)
    logits[tokenizer.token_to_id("a")] = -np.inf
    with pytest.raises(InvalidInput, match="dead end"):
        edit.apply(logits)


@pytest.mark.row(32)
@pytest.mark.parametrize(
    ("guide_type", "text", "complaint"),
    [
        ("json_schema", "{", "can't be compiled"),
        ("json_schema", '{"type": "objec"}', "Invalid type: objec"),
        ("json_schema", '{"$ref": "http://localhost/schema"}', "can't be compiled"),
        ("json_schema", '{"$ref": "#"}', "no text obeys it"),
        ("json_schema", '{"items":' * 6000, "nested too deeply"),
        ("regex", "[a-z", "unclosed character class"),
        ("regex", "(?=a)a", "look-around"),
        ("regex", "a" * 70_000, "is larger than 65536 bytes"),
        ("ebnf_grammar", "root = a", "Expected ::="),
        ("ebnf_grammar", "root ::= missing", "'missing' not found"),
        ("ebnf_grammar", "root ::= root", "no text obeys it"),
        ("ebnf_grammar", 'begin: "a"', "can't be compiled"),
        ("ebnf_grammar", "start: missing", "can't be compiled"),
    ],
)
def test_refusals(guide_type: str, text: str, complaint: str, compiler: GuideCompiler) -> None:
    with pytest.raises(InvalidInput, match=re.escape(complaint)) as refusal:
        compiler.compile(Guide(guide_type, text), [END_ID])
    assert refusal.value.param == "guided_decoding_guide"
    assert "\n" not in json.loads(str(refusal.value))["message"]


def tensors(guide_type: bytes | None, guide: bytes | None) -> dict[str, NDArray[Any]]:
    values = {"guided_decoding_guide_type": guide_type, "guided_decoding_guide": guide}
    return {name: np.array([value], np.object_) for name, value in values.items() if value is not None}


@pytest.mark.parametrize(
    ("guide_type", "guide", "expected"),
    [
        (None, None, None),
        (b"", b"", None),
        (b"json", None, Guide("json", "")),
        (b"json", b"", Guide("json", "")),
        (b"regex", "é+".encode(), Guide("regex", "é+")),
    ],
)
def test_guides_are_read(guide_type: bytes | None, guide: bytes | None, expected: Guide | None) -> None:
    assert read_guide(tensors(guide_type, guide)) == expected


@pytest.mark.parametrize(
    ("guide_type", "guide", "param"),
    [
        (b"xml", b"a", "guided_decoding_guide_type"),
        (None, b"a", "guided_decoding_guide_type"),
        (b"\xff", b"a", "guided_decoding_guide_type"),
        (b"regex", None, "guided_decoding_guide"),
        (b"regex", b"\xff", "guided_decoding_guide"),
    ],
)
def test_unreadable_guides(guide_type: bytes | None, guide: bytes | None, param: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_guide(tensors(guide_type, guide))
    assert refusal.value.param == param


def reads(compiler: GuideCompiler, tokenizer: Tokenizer, guide: Guide, text: str) -> bool:
    """Whether the text may be written, and may end there."""
    edit = compiler.compile(guide, [END_ID])
    for token_id in tokenizer.encode(text, add_special_tokens=False).ids:
        if token_id not in allowed(edit):
            return False
        edit.note(token_id)
    return END_ID in allowed(edit)


CALL_OF_ADD = {
    "type": "object",
    "properties": {
        "name": {"const": "add"},
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
    "required": ["name", "parameters"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "is_allowed"),
    [
        ("", True),
        ("Hello {there}, x < 3 [1].", True),
        ('Write {"a": 1} here.', True),
        ('{"name": "add", "parameters": {"a": 1}}', True),
        ('{"name": "add", "parameters": {"a": 1}}; {"name": "add", "parameters": {"a": 2}}', True),
        ('{"name": "add", "parameters": {"a": "x"}}', False),
        ('{"name": "other", "parameters": {"a": 1}}', False),
        ('{"name": "add", "parameters": {"a": 1}} and more', False),
        ('Well: {"name": "add", "parameters": {"a": "x"}}', False),
        ('Well: {\n "parameters": {}}', False),
        ("Well: <function=add>{}", False),
        ('[{"name": "add", "parameters": {"a": "x"}}]', False),
    ],
)
def test_text_or_calls(compiler: GuideCompiler, tokenizer: Tokenizer, text: str, is_allowed: bool) -> None:
    guide = Guide("text_or_json_schema", json.dumps(CALL_OF_ADD))
    assert reads(compiler, tokenizer, guide, text) is is_allowed


@pytest.mark.parametrize("schema", ["[]", "{", '{"type": "nope"}'])
def test_text_or_a_broken_schema(compiler: GuideCompiler, schema: str) -> None:
    with pytest.raises(InvalidInput, match="can't be compiled"):
        compiler.compile(Guide("text_or_json_schema", schema), [END_ID])
