"""Which text a request gets: words in their order, a guide's, or the one that its prompt names."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contract.tensors import InvalidInput
from guides.answer_guide import Guide
from numpy.typing import NDArray
from replay_faults import Fault, read_fault
from replay_request import ForwardFailure, ReplayRequest, RequestRefused
from replay_settings import ReplaySettings
from replay_words import ReplayWords
from replay_writer import ChoosingWriter, Preference, Writer, known_ids
from requested_edits import Guides
from sampling.logit_edits import BadWords, Bias, LogitEdit, MinLength
from tokenizers import Tokenizer

# What a prompt asks of the engine itself: <<replay {"say": ..., "fault": ..., "after": ...}>>.
_DIRECTIVE = re.compile(r"<<replay (\{.*?\})>>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Directive:
    """ids are those of the text to say."""

    ids: NDArray[np.int32] | None = None
    fault: Fault | None = None


_NO_DIRECTIVE = Directive()


class _DirectiveReader:
    def __init__(self, tokenizer_json: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer_json))

    def read(self, prompt_ids: NDArray[np.int32]) -> Directive:
        """The last one in the prompt; raises RequestRefused for one that makes no sense."""
        found = _DIRECTIVE.findall(self._tokenizer.decode(prompt_ids.tolist(), skip_special_tokens=False))
        if not found:
            return _NO_DIRECTIVE
        try:
            return self._directive(**json.loads(found[-1]))
        except (ValueError, TypeError) as error:
            raise RequestRefused(f"a directive of the replay engine: {error}") from error

    def _directive(self, *, say: str | None = None, fault: str = "", after: int = 0) -> Directive:
        if not isinstance(after, int):
            raise TypeError("after must be a whole number")
        return Directive(None if say is None else self._encode(say), read_fault(fault, after))

    def _encode(self, text: str) -> Any:
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)


class ReplayTexts:
    def __init__(self, settings: ReplaySettings, words: ReplayWords, vocab_size: int, guides: Guides) -> None:
        self._answer_length = settings.answer_length
        self._words = words
        self._vocab_size = vocab_size
        self._guides = guides
        self._directives = _DirectiveReader(settings.tokenizer) if settings.takes_directives else None

    def directive(self, request: ReplayRequest) -> Directive:
        return self._directives.read(request.prompt_ids) if self._directives else _NO_DIRECTIVE

    def writer(self, request: ReplayRequest, directive: Directive) -> Writer:
        if directive.ids is not None:
            return known_ids(request, directive.ids)
        start = self._words.start(request.prompt_ids, request.seed, request.adapter)
        edits = list(self._edits(request))
        if edits:
            preference = Preference(self._vocab_size, self._words, start, request.end_id)
            return ChoosingWriter(request, preference, edits, self._length(request))
        return known_ids(request, self._words.take(start, self._length(request)))

    def _length(self, request: ReplayRequest) -> int:
        """Only an end id can end a text before its length."""
        if not self._answer_length or request.end_id is None:
            return request.max_new_tokens
        return min(max(self._answer_length, request.min_new_tokens), request.max_new_tokens)

    def _edits(self, request: ReplayRequest) -> Iterator[LogitEdit]:
        """What makes it necessary to choose id by id; the guide last: nothing may change a choice after it.

        Penalties are none of it: the words come in their order, so that hardly any comes twice.
        """
        if request.bias is not None:
            places = np.flatnonzero(request.bias)
            yield Bias(dict(zip(places.tolist(), request.bias[places].tolist(), strict=True)))
        if request.bad_words:
            yield BadWords(request.bad_words)
        if request.guide is not None:
            ends = {word[0] for word in request.stop_words if len(word) == 1}
            end_ids = ends if request.end_id is None else {*ends, request.end_id}
            if request.min_new_tokens > 1:
                yield MinLength(end_ids, request.min_new_tokens)
            yield self._compile(Guide(*request.guide), end_ids)

    def _compile(self, guide: Guide, end_ids: set[int]) -> LogitEdit:
        """The executor compiles within a step (guidedDecoder.cpp): a bad guide costs everybody's text."""
        try:
            return self._guides.compile(guide, end_ids)
        except InvalidInput as error:
            raise ForwardFailure(f"Encountered an error in forwardAsync function: {error}") from error
