"""Guides that would end every request of a compiled engine are refused before it sees them."""

from types import SimpleNamespace
from typing import Any

import pytest
from client_input import ClientError
from engine_guides import load_engine_guides


def reader(name: str) -> Any:
    """As xgrammar 0.1.25's: takes the text, raises RuntimeError with the place in its sources."""

    def read(guide: str) -> str:
        if "bad" in guide:
            raise RuntimeError(f"[06:15:22] /src/grammar_parser.cc:120: {name} at line 1: unexpected 'bad'.")
        return guide

    return read


def installed(_: str) -> Any:
    names = ("from_json_schema", "from_regex", "from_ebnf")
    return SimpleNamespace(Grammar=SimpleNamespace(**{name: reader(name) for name in names}))


def missing(name: str) -> Any:
    raise ModuleNotFoundError(f"No module named {name!r}")


@pytest.mark.parametrize(
    ("guide_type", "name"),
    [
        ("text_or_json_schema", "from_json_schema"),
        ("json_schema", "from_json_schema"),
        ("regex", "from_regex"),
        ("ebnf_grammar", "from_ebnf"),
    ],
)
def test_bad_guides_are_refused_with_the_reason_alone(guide_type: str, name: str) -> None:
    guides = load_engine_guides("xgrammar", installed)
    guides.read(guide_type, "root ::= good")
    with pytest.raises(ClientError) as caught:
        guides.read(guide_type, "root ::= bad")
    assert caught.value.message == (
        f"guided_decoding_guide: can't be compiled: {name} at line 1: unexpected 'bad'."
    )
    assert caught.value.param == "guided_decoding_guide"


@pytest.mark.parametrize("grammar", ['start: "a"', "root = a", "%llguidance {}"])
def test_what_is_no_ebnf_is_told_what_is(grammar: str) -> None:
    with pytest.raises(ClientError, match=r"reads EBNF .GBNF., such as root ::="):
        load_engine_guides("xgrammar", installed).read("ebnf_grammar", grammar)


@pytest.mark.parametrize(("guide_type", "guide"), [("", ""), ("json", ""), ("xml", "bad")])
def test_nothing_to_read(guide_type: str, guide: str) -> None:
    assert load_engine_guides("xgrammar", installed).read(guide_type, guide) == (guide_type, guide)


def test_without_a_library_the_engine_decides() -> None:
    assert load_engine_guides("engine", missing).read("regex", "bad") == ("regex", "bad")


@pytest.mark.parametrize(
    ("library", "complaint"),
    [("xgrammar", "xgrammar can't be imported"), ("outlines", "must be engine or xgrammar")],
)
def test_what_can_not_be_used_stops_the_load(library: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load_engine_guides(library, missing)


def test_text_or_calls_become_a_grammar() -> None:
    guides = load_engine_guides("xgrammar", installed)
    assert guides.read("regex", "[a-z]") == ("regex", "[a-z]")
    guide_type, grammar = guides.read("text_or_json_schema", 'root ::= "{" root_1 "root\\"root" [root] root')
    assert guide_type == "ebnf_grammar"
    assert grammar.startswith("root ::= free_text | calls\n")
    assert grammar.endswith('\ncall ::= "{" root_1 "root\\"root" [root] call')
