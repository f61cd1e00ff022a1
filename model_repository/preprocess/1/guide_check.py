"""Tries a request's guide before an engine gets it that would fail as a whole.

TensorRT-LLM 1.2.1 compiles guides within the step of all running requests (guidedDecoder.cpp), and an error
in a step ends every one of them (executorImpl.cpp, forwardAsync).
"""

import importlib
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from client_error import ClientError

# The engine's input, which the frontend translates to the client's field.
_PARAM = "guided_decoding_guide"


class GuideCheck:
    """Takes what reads a guide, by the type of the guide, and raises for one that makes no sense."""

    def __init__(self, readers: Mapping[str, Callable[[str], object]]) -> None:
        self._readers = readers

    def check(self, guide_type: str, guide: str) -> None:
        """Raises ClientError; types without a reader pass."""
        reader = self._readers.get(guide_type)
        if reader is None:
            return
        try:
            reader(guide)
        except Exception as error:  # xgrammar raises RuntimeError and, by version, errors of its own
            raise ClientError(f"{_PARAM}: can't be compiled: {_reason(error)}.", _PARAM) from error


def load_guide_check(
    library: str, import_module: Callable[[str], Any] = importlib.import_module
) -> GuideCheck:
    """library: xgrammar, of the version that the engine uses, or `engine`, which checks by itself.

    Raises ValueError when it is another one or can't be imported.
    """
    if library == "engine":
        return GuideCheck({})
    if library != "xgrammar":
        raise ValueError(f"The parameter guide_check must be engine or xgrammar, not {library!r}.")
    try:
        grammar = import_module("xgrammar").Grammar
    except ImportError as error:
        raise ValueError(f"guide_check: xgrammar can't be imported: {error}.") from error
    return GuideCheck(
        {
            "json_schema": grammar.from_json_schema,
            "regex": grammar.from_regex,
            "ebnf_grammar": grammar.from_ebnf,
        }
    )


def _reason(error: Exception) -> str:
    """Without the place in xgrammar's sources, which it puts in front: `[12:00:00] file.cc:345: `."""
    text = re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", str(error).strip())
    return textwrap.shorten(text, 300, placeholder=" …").rstrip(".") or "no reason is given"
