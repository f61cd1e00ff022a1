"""Keeps an answer to the form that its request asks for, by llguidance's grammars."""

import json
import logging
import re
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contract.tensors import InvalidInput, Logits, Tensors, read_text
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from sampling.logit_edits import LogitEdit

from guides.closed_schema import closed
from guides.lark_grammars import ebnf_to_lark, free_or_json, is_lark

_TYPE = "guided_decoding_guide_type"
GUIDE_INPUT = "guided_decoding_guide"
_MAX_GUIDE_BYTES = 64 * 1024

# A lexer state takes 1 to 2 kB: by llguidance's own limit, one answer could take half a gigabyte. A row has
# an item for each choice that begins alike, and its own limit is 2000; step_max_items still bounds the time.
_LIMITS = LLParserLimits(max_lexer_states=50_000, max_items_in_row=20_000, verbose_errors=False)

# Between the parts of JSON, at most once; without an end to blanks, small models write nothing else.
_BLANK = " "

_GIVEN_UP = "is too ambiguous: the answer was given up at a limit of its grammar."
_DEAD_END = "came to a dead end: no token may follow, and the answer is not complete."

_log = logging.getLogger("tensorrt_llm")


@dataclass(frozen=True, slots=True)
class Guide:
    """type is one of TensorRT-LLM's, json, json_schema, regex or ebnf_grammar, or text_or_json_schema."""

    type: str
    text: str


def has_guide(tensors: Tensors) -> bool:
    return _TYPE in tensors or GUIDE_INPUT in tensors


def read_guide(tensors: Tensors) -> Guide | None:
    """Raises InvalidInput."""
    guide = Guide(read_text(tensors, _TYPE), read_text(tensors, GUIDE_INPUT))
    if not guide.type and not guide.text:
        return None
    if guide.type not in _GRAMMARS:
        raise InvalidInput(_TYPE, f"must be one of {', '.join(_GRAMMARS)}, got {guide.type!r}.")
    if not guide.text and guide.type != "json":
        raise InvalidInput(GUIDE_INPUT, f"must not be empty when the type is {guide.type}.")
    return guide


class GuideCompiler:
    """Made once for a tokenizer, which takes a second; may be shared between threads."""

    def __init__(self, tokenizer_json: Path, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._completion_id = _special_id(tokenizer_json)
        self._tokenizer = LLTokenizer(str(tokenizer_json), n_vocab=vocab_size, eos_token=self._completion_id)

    def compile(self, guide: Guide, end_ids: Collection[int]) -> LogitEdit:
        """Takes milliseconds, for a thousand rules or members most of a second; raises InvalidInput.

        The end ids are allowed as soon as the answer may be complete.
        """
        if len(guide.text.encode()) > _MAX_GUIDE_BYTES:
            raise InvalidInput(GUIDE_INPUT, f"is larger than {_MAX_GUIDE_BYTES} bytes.")
        try:
            grammar = _GRAMMARS[guide.type](guide.text)
        except ValueError as error:
            raise _refusal(str(error)) from error
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=_LIMITS)
        edit = _AnswerGuide(matcher, self._vocab_size, self._completion_id, end_ids)
        if complaint := edit.try_out():
            raise _refusal(complaint)
        return edit


class _AnswerGuide:
    """A LogitEdit; completion_id is the one by which llguidance says that the answer may end here."""

    def __init__(
        self, matcher: LLMatcher, vocab_size: int, completion_id: int, end_ids: Collection[int]
    ) -> None:
        self._matcher = matcher
        self._completion_id = completion_id
        self._end_ids = list(end_ids)
        self._mask = allocate_token_bitmask(1, vocab_size)

    def try_out(self) -> str:
        """What is wrong with the grammar, as far as its beginning shows; llguidance raises nothing."""
        if not self._matcher.is_error():
            fill_next_token_bitmask(self._matcher, self._mask)
        return self._matcher.get_error() if self._matcher.is_error() else ""

    def apply(self, logits: Logits) -> None:
        """Forbids everything when the answer is complete and nothing ends it.

        Raises InvalidInput where the answer is not complete and nothing may follow, or llguidance gives up.
        """
        fill_next_token_bitmask(self._matcher, self._mask)
        if self._matcher.is_error():
            _log.error("a grammar was given up: %s", self._matcher.get_error())
            is_limit = self._matcher.stop_reason().endswith("TooComplex")
            raise InvalidInput(GUIDE_INPUT, _GIVEN_UP if is_limit else _DEAD_END)
        is_allowed = np.unpackbits(self._mask.view(np.uint8), count=len(logits), bitorder="little")
        is_complete = is_allowed[self._completion_id]
        is_allowed[self._completion_id] = 0
        if is_complete:
            is_allowed[self._end_ids] = 1
        logits[is_allowed == 0] = -np.inf
        if not is_complete and logits.max() == -np.inf:
            raise InvalidInput(GUIDE_INPUT, _DEAD_END)

    def note(self, token_id: int, /) -> None:
        if token_id not in self._end_ids:
            self._matcher.consume_token(token_id)


def _any_object(_text: str) -> str:
    return _json_schema(json.dumps({"type": "object"}))


def _json_schema(text: str) -> str:
    return LLMatcher.grammar_from_json_schema(_closed(text), overrides={"whitespace_pattern": _BLANK})


def _closed(text: str) -> str:
    try:
        return json.dumps(closed(json.loads(text)))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _ebnf(text: str) -> str:
    """Of TensorRT-LLM's types this is the one for grammars; llguidance's own notation is Lark."""
    return LLMatcher.grammar_from_lark(text if is_lark(text) else ebnf_to_lark(text))


def _text_or_json_schema(text: str) -> str:
    return LLMatcher.grammar_from_lark(free_or_json(_closed(text), _BLANK))


_GRAMMARS: Mapping[str, Callable[[str], str]] = {
    "json": _any_object,
    "json_schema": _json_schema,
    "regex": LLMatcher.grammar_from_regex,
    "ebnf_grammar": _ebnf,
    "text_or_json_schema": _text_or_json_schema,
}


def _special_id(tokenizer_json: Path) -> int:
    """A control token: no text is written with it."""
    added = json.loads(tokenizer_json.read_text(encoding="utf-8"))["added_tokens"]
    return int(next(token["id"] for token in added if token["special"]))


def _refusal(complaint: str) -> InvalidInput:
    """Of a bad regular expression, llguidance shows every line around the error."""
    error = re.search(r"^error: (.+)", complaint, re.MULTILINE)
    told = error[1] if error else complaint.removesuffix("<non-verbose/>")
    if told.startswith("NoExtension"):
        told = "no text obeys it"
    sentence = textwrap.shorten(told, 300, placeholder=" …").rstrip(".")
    return InvalidInput(GUIDE_INPUT, f"can't be compiled: {sentence}.")
