"""One generation's responses, one after another -> deltas: ids become bytes, bytes become text."""

import codecs
from array import array
from collections import deque
from collections.abc import Iterator, Sequence

from frontend.errors import EngineFailed
from frontend.generation.delta import Delta, FinishReason, PromptScore, Token
from frontend.generation.logprobs import read_logprobs, read_prompt_scores, read_top_tokens
from frontend.generation.request import REUSED_BLOCKS, GenerationRequest
from frontend.generation.stop_strings import StopStrings
from frontend.triton.model import ServedModel
from frontend.triton.response import EngineResponse
from frontend.triton.tensors import read_ids


class TextReader:
    """The state of one generation between its responses."""

    def __init__(self, model: ServedModel, generation: GenerationRequest) -> None:
        self._model = model
        self._generation = generation
        self._vocabulary = model.vocabulary
        self._wants_scores = generation.wants_scores
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._stop_strings = StopStrings(generation.stop_strings, generation.keeps_stop_string)
        self._num_decoded = self._num_shown = 0
        # Tokens whose text is held back, and where it begins.
        self._unlisted: deque[tuple[int, Token]] = deque()
        self._hidden_ids = _hidden_ids(model, generation)
        self._stop_ids = generation.stop_token_ids
        if generation.ends_at_stop_ids:
            self._stop_ids |= model.stop_ids
        self._num_prompt_tokens = 0
        self._num_cached_tokens: int | None = None
        self._num_tokens = 0
        self._is_first = True

    def read(self, response: EngineResponse) -> Delta:
        """Raises ApiError; LookupError, ValueError or struct.error for a malformed tensor."""
        surroundings = response.surroundings
        if surroundings.fault:
            raise surroundings.fault
        if self._is_first:
            self._read_constants(response)
        is_last = surroundings.is_final
        ids = [] if self._generation.max_new_tokens == 0 else array("i", response.ids).tolist()
        if ids and min(ids) < 0:
            raise IndexError(f"{min(ids)} is no token id")
        pieces = [self._vocabulary[token_id] for token_id in ids]
        tokens: tuple[Token, ...] = ()
        scores: tuple[PromptScore, ...] = ()
        if self._wants_scores:
            tokens, scores = self._scored(response, ids, pieces)
        self._is_first = False
        self._num_tokens += len(ids)
        stop_id = ids[-1] if is_last and ids and ids[-1] in self._stop_ids else None
        if stop_id is not None:
            # It has a log-prob and is no part of the text.
            ids, pieces, tokens = ids[:-1], pieces[:-1], tokens[: len(ids) - 1]
        if self._generation.stop_strings:
            text, tokens = self._until_stop(ids, pieces, tokens, is_last)
        else:
            text = self._text(ids, pieces, is_last)
        # Before the counts, to which it may add an end id.
        finish_reason = self._finish(is_last, stop_id)
        return Delta(
            self._generation.index,
            text,
            tokens,
            self._num_prompt_tokens,
            self._num_tokens,
            finish_reason,
            None if finish_reason is None else self._stop_reason(stop_id),
            self._num_cached_tokens,
            scores,
        )

    def _read_constants(self, response: EngineResponse) -> None:
        """Once a stream: no token need pay for it, and not every engine repeats what never changes."""
        declared = self._model.output_datatypes
        for name, datatype in response.surroundings.datatypes:
            if datatype != declared.get(name):
                raise ValueError(f"{name} is {datatype}, not {declared.get(name)}")
        outputs = response.surroundings.outputs
        self._num_prompt_tokens = read_ids(outputs["num_input_tokens"])[0]
        if self._model.tokens_per_block is not None and REUSED_BLOCKS in outputs:
            self._num_cached_tokens = read_ids(outputs[REUSED_BLOCKS])[0] * self._model.tokens_per_block

    def _scored(
        self, response: EngineResponse, ids: Sequence[int], pieces: Sequence[bytes]
    ) -> tuple[tuple[Token, ...], tuple[PromptScore, ...]]:
        """The response's new tokens with their log-probs, and those of the prompt in the first one."""
        outputs, num_top = response.surroundings.outputs, self._generation.num_top_logprobs
        scores = read_prompt_scores(outputs, self._vocabulary)
        if self._generation.scores_prompt and self._is_first and len(scores) != self._num_prompt_tokens - 1:
            raise EngineFailed("The engine did not score the whole prompt.")
        if not self._generation.wants_logprobs or not ids:
            return (), scores
        rows = read_top_tokens(outputs, self._vocabulary, len(ids), num_top) or [()] * len(ids)
        logprobs = read_logprobs(outputs, self._num_tokens, num_top)
        in_text = (token_id not in self._hidden_ids for token_id in ids)
        return tuple(map(Token, pieces, logprobs, rows, in_text)), scores

    def _text(self, ids: Sequence[int], pieces: Sequence[bytes], is_last: bool) -> str:
        if not self._hidden_ids.isdisjoint(ids):
            pieces = [
                piece for token_id, piece in zip(ids, pieces, strict=True) if token_id not in self._hidden_ids
            ]
        return self._utf8.decode(b"".join(pieces), is_last)

    def _until_stop(
        self, ids: Sequence[int], pieces: Sequence[bytes], tokens: Sequence[Token], is_last: bool
    ) -> tuple[str, tuple[Token, ...]]:
        """The text that is decided, and the tokens that begin in it."""
        num_read, least = self._num_tokens - len(ids), self._generation.min_tokens
        text = ""
        for number, (token_id, piece) in enumerate(zip(ids, pieces, strict=True)):
            if tokens:
                self._unlisted.append((self._num_decoded, tokens[number]))
            said = "" if token_id in self._hidden_ids else self._utf8.decode(piece)
            self._num_decoded += len(said)
            text += self._stop_strings.feed(said, num_read + number >= least)
        if is_last:
            text += self._stop_strings.feed(self._utf8.decode(b"", True))
            text += self._stop_strings.flush()
        self._num_shown += len(text)
        return text, tuple(self._listed(is_last and self._stop_strings.matched is None))

    def _listed(self, is_all: bool) -> Iterator[Token]:
        while self._unlisted and (is_all or self._unlisted[0][0] < self._num_shown):
            yield self._unlisted.popleft()[1]

    def _finish(self, is_last: bool, stop_id: int | None) -> FinishReason | None:
        if self._stop_strings.matched is not None:
            return "stop"
        if not is_last:
            return None
        if stop_id is not None:
            return "stop"
        window = self._model.max_model_len - self._num_prompt_tokens
        wanted = window if self._generation.max_new_tokens is None else self._generation.max_new_tokens
        if self._num_tokens >= min(wanted, window):
            return "length"
        # Ended before its length: by the end id, which the engine does not return but which was generated.
        self._num_tokens += 1
        return "stop"

    def _stop_reason(self, stop_id: int | None) -> str | int | None:
        """The string or id of the client's that ended the text; the model's own end ids are none of them."""
        if self._stop_strings.matched is not None:
            return self._stop_strings.matched
        return stop_id if stop_id in self._generation.stop_token_ids else None


def _hidden_ids(model: ServedModel, generation: GenerationRequest) -> frozenset[int]:
    """Those that the text leaves out."""
    if generation.keeps_special_tokens:
        return frozenset()
    if not generation.kept_special:
        return model.special_ids
    names = model.vocabulary
    return frozenset(
        token_id for token_id in model.special_ids if names[token_id] not in generation.kept_special
    )
