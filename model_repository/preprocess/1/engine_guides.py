"""A request's guide as the engine takes it, tried before an engine gets it that would fail as a whole.

TensorRT-LLM 1.2.1 compiles guides within the step of all running requests (guidedDecoder.cpp), and an error
in a step ends every one of them (executorImpl.cpp, forwardAsync). It has no guide for text or calls.
"""

import importlib
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from client_input import ClientError

# The engine's input, which the frontend translates to the client's field.
_PARAM = "guided_decoding_guide"

# Text must not be read as a call: it begins with neither JSON nor a tag, and holds neither the start of
# an object whose first key may be a call's (name, type, parameters, arguments) nor that of <function=.
_TEXT_OR_CALLS = r"""
root ::= free_text | calls
free_text ::= "" | [ \t\r\n]* [^{[< \t\r\n] free_piece* free_end
free_piece ::= [^{<] | free_brace | "<" [^f{<]
free_brace ::= "{" [ \t\r\n{]* ([^ \t\r\n{<"] | "\"" [^ntpa{<] | "<" [^f{<])
free_end ::= "" | "{" [ \t\r\n{]* | "{" [ \t\r\n{]* "\"" | "<"
calls ::= call (call_separator call)*
call_separator ::= [ \t\r\n]* [;,]? [ \t\r\n]*
"""
_EBNF_RULE = re.compile(r"^\s*[\w-]+\s*::=", re.MULTILINE)
# A rule's name outside of strings and character classes.
_ROOT = re.compile(r'("(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\])|\broot\b')

Guide: TypeAlias = tuple[str, str]
"""Its type and its text."""


class EngineGuides:
    """Takes what reads a guide, by the guide's type: gives the engine's, and raises for one without sense."""

    def __init__(self, readers: Mapping[str, Callable[[str], Guide]]) -> None:
        self._readers = readers

    def read(self, guide_type: str, guide: str) -> Guide:
        """Raises ClientError; what has no reader is left as it is."""
        reader = self._readers.get(guide_type)
        if reader is None:
            return guide_type, guide
        try:
            return reader(guide)
        except Exception as error:  # xgrammar raises RuntimeError and, by version, errors of its own
            raise ClientError(f"{_PARAM}: can't be compiled: {_reason(error)}.", _PARAM) from error


def load_engine_guides(
    library: str, import_module: Callable[[str], Any] = importlib.import_module
) -> EngineGuides:
    """library: xgrammar, of the version that the engine uses, or `engine`, which reads all guides itself.

    Raises ValueError when it is another one or can't be imported.
    """
    if library == "engine":
        return EngineGuides({})
    if library != "xgrammar":
        raise ValueError(f"The parameter guide_check must be engine or xgrammar, not {library!r}.")
    try:
        grammar = import_module("xgrammar").Grammar
    except ImportError as error:
        raise ValueError(f"guide_check: xgrammar can't be imported: {error}.") from error
    return EngineGuides(_xgrammar_readers(grammar))


def _xgrammar_readers(grammar: Any) -> dict[str, Callable[[str], Guide]]:
    def tried(guide_type: str, read: Callable[[str], object]) -> Callable[[str], Guide]:
        def reader(guide: str) -> Guide:
            read(guide)
            return guide_type, guide

        return reader

    def read_rules(guide: str) -> object:
        if not _EBNF_RULE.search(guide):
            raise ValueError(
                'this engine reads EBNF (GBNF), such as root ::= "yes" | "no", and no other notation'
            )
        return grammar.from_ebnf(guide)

    read_ebnf = tried("ebnf_grammar", read_rules)
    return {
        "json_schema": tried("json_schema", grammar.from_json_schema),
        "regex": tried("regex", grammar.from_regex),
        "ebnf_grammar": read_ebnf,
        "text_or_json_schema": lambda schema: read_ebnf(
            _text_or_calls(str(grammar.from_json_schema(schema)))
        ),
    }


def _text_or_calls(call: str) -> str:
    """The grammar, in xgrammar's EBNF, of an answer that is free text or calls; takes that of one call."""
    return _TEXT_OR_CALLS.lstrip() + _ROOT.sub(lambda match: match[1] or "call", call)


def _reason(error: Exception) -> str:
    """Without the place in xgrammar's sources, which it puts in front: `[12:00:00] file.cc:345: `."""
    text = re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", str(error).strip())
    return textwrap.shorten(text, 300, placeholder=" …").rstrip(".") or "no reason is given"
