"""Which text a request gets: words in their order, a guide's, or the one that its prompt names."""

from collections.abc import Iterator

import numpy as np
from contract.errors import InvalidInput
from guides.answer_guide import Guide
from replay_directives import NO_DIRECTIVE, Directive, DirectiveReader
from replay_errors import ForwardFailure
from replay_preference import Preference
from replay_request import ReplayRequest
from replay_settings import ReplaySettings
from replay_words import ReplayWords
from replay_writer import ChoosingWriter, Writer, known_ids
from sampling.logit_edits import BadWords, Bias, LogitEdit, MinLength
from sampling.requested_edits import Guides


class ReplayTexts:
    def __init__(self, settings: ReplaySettings, words: ReplayWords, vocab_size: int, guides: Guides) -> None:
        self._answer_length = settings.answer_length
        self._words = words
        self._vocab_size = vocab_size
        self._guides = guides
        self._directives = DirectiveReader(settings.tokenizer) if settings.takes_directives else None

    def directive(self, request: ReplayRequest) -> Directive:
        return self._directives.read(request.prompt_ids) if self._directives else NO_DIRECTIVE

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
