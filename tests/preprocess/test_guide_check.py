"""Guides that would end every request of a compiled engine are refused before it sees them."""

from types import SimpleNamespace
from typing import Any

import pytest
from client_error import ClientError
from guide_check import load_guide_check


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
    [("json_schema", "from_json_schema"), ("regex", "from_regex"), ("ebnf_grammar", "from_ebnf")],
)
def test_bad_guides_are_refused_with_the_reason_alone(guide_type: str, name: str) -> None:
    guides = load_guide_check("xgrammar", installed)
    guides.check(guide_type, "good")
    with pytest.raises(ClientError) as caught:
        guides.check(guide_type, "bad")
    assert caught.value.message == (
        f"guided_decoding_guide: can't be compiled: {name} at line 1: unexpected 'bad'."
    )
    assert caught.value.param == "guided_decoding_guide"


@pytest.mark.parametrize(("guide_type", "guide"), [("", ""), ("json", ""), ("xml", "bad")])
def test_nothing_to_read(guide_type: str, guide: str) -> None:
    load_guide_check("xgrammar", installed).check(guide_type, guide)


def test_without_a_library_the_engine_decides() -> None:
    load_guide_check("engine", missing).check("regex", "bad")


@pytest.mark.parametrize(
    ("library", "complaint"),
    [("xgrammar", "xgrammar can't be imported"), ("outlines", "must be engine or xgrammar")],
)
def test_what_can_not_be_used_stops_the_load(library: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        load_guide_check(library, missing)
