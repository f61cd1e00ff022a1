"""Deltas -> text_completion objects, whole or in chunks; keys and their order are the Lambda Chat API's."""

import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from frontend.api.completions.echo import Echo
from frontend.api.completions.logprobs import CompletionLogprobs
from frontend.api.completions.request import CompletionRequest
from frontend.api.sse import DONE_EVENT, TextEvents, data_event
from frontend.errors import ApiError, to_event
from frontend.generation.delta import Delta, usage


class CompletionResponse:
    """One answer to a completion request; `echoes` are put before each prompt's choices, if there are any."""

    def __init__(self, completion: CompletionRequest, num_prompts: int, echoes: Sequence[Echo]) -> None:
        self._completion = completion
        self._num_prompts = num_prompts
        self._echoes = echoes
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._logprobs_of: defaultdict[int, CompletionLogprobs] = defaultdict(CompletionLogprobs)
        self._started: set[int] = set()
        self._text_events: dict[int, TextEvents] = {}
        self._deltas: list[Delta] = []
        self._last: dict[int, Delta] = {}
        self._says_text_alone = not (completion.wants_logprobs or completion.wants_usage_in_chunks)

    def add(self, delta: Delta) -> None:
        self._last[delta.index] = delta
        self._deltas.append(delta)

    def whole(self) -> dict[str, Any]:
        num_candidates, num_choices = self._completion.num_candidates, self._completion.num_choices
        kept = [
            candidate
            for prompt in range(self._num_prompts)
            for candidate in best_of(_candidates(self._deltas, prompt, num_candidates), num_choices)
        ]
        choices = [self._choice(candidate, index) for index, candidate in enumerate(kept)]
        return self._envelope(choices) | {"usage": self._usage()}

    def events(self, delta: Delta) -> bytes:
        """One, or none when it has nothing to tell."""
        index = delta.index
        self._last[index] = delta
        if self._says_text_alone and delta.finish_reason is None and index in self._text_events:
            return self._text_events[index].event(delta.text) if delta.text else b""
        return b"".join(map(data_event, self._chunks(delta)))

    def end(self) -> bytes:
        if not self._completion.wants_usage_chunk:
            return DONE_EVENT
        return data_event(self._envelope([]) | {"usage": self._usage()}) + DONE_EVENT

    def failed(self, error: ApiError) -> bytes:
        return to_event(error)

    def _usage(self) -> dict[str, Any]:
        return usage(self._last.values(), self._completion.num_candidates)

    def _chunks(self, delta: Delta) -> list[dict[str, Any]]:
        index = delta.index
        if index not in self._text_events:
            self._text_events[index] = TextEvents(lambda text: self._chunk(index, text))
        echo = self._echoed(index)
        text = echo.text + delta.text
        if not (text or delta.tokens or delta.finish_reason):
            return []
        return [self._chunk(delta.index, text, self._logprobs(delta.index, echo, [delta]), delta)]

    def _chunk(
        self, index: int, text: str, logprobs: dict[str, Any] | None = None, end: Delta | None = None
    ) -> dict[str, Any]:
        choice = {
            "index": index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": end and end.finish_reason,
            "stop_reason": end and end.stop_reason,
        }
        chunk = self._envelope([choice])
        if self._completion.wants_usage_in_chunks:
            chunk["usage"] = self._usage()
        elif self._completion.wants_usage_chunk:
            chunk["usage"] = None
        return chunk

    def _choice(self, deltas: Sequence[Delta], index: int) -> dict[str, Any]:
        echo = self._echoed(index)
        return {
            "index": index,
            "text": echo.text + "".join(delta.text for delta in deltas),
            "logprobs": self._logprobs(index, echo, deltas),
            "finish_reason": deltas[-1].finish_reason,
            "stop_reason": deltas[-1].stop_reason,
        }

    def _envelope(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._completion.model,
            "choices": choices,
        }

    def _echoed(self, index: int) -> Echo:
        """The prompt of a choice, the first time."""
        if not self._echoes or index in self._started:
            return Echo("")
        self._started.add(index)
        return self._echoes[index // self._completion.num_choices]

    def _logprobs(self, index: int, echo: Echo, deltas: Sequence[Delta]) -> dict[str, Any] | None:
        if not self._completion.wants_logprobs:
            return None
        scores = (score for delta in deltas for score in delta.prompt_scores)
        tokens = [token for delta in deltas for token in delta.tokens]
        return self._logprobs_of[index].of(echo.tokens, scores, tokens)


def best_of(candidates: Sequence[list[Delta]], num_kept: int) -> list[list[Delta]]:
    """Those that the model finds likeliest, by log-prob per token as OpenAI does, the best first.

    All of them, in their order, when all are kept.
    """
    if len(candidates) <= num_kept:
        return list(candidates)
    return sorted(candidates, key=_mean_logprob, reverse=True)[:num_kept]


def _mean_logprob(candidate: Sequence[Delta]) -> float:
    logprobs = [token.logprob for delta in candidate for token in delta.tokens]
    return fmean(logprobs) if logprobs else 0.0


def _candidates(deltas: Sequence[Delta], prompt: int, num_candidates: int) -> list[list[Delta]]:
    indices = range(prompt * num_candidates, (prompt + 1) * num_candidates)
    return [[delta for delta in deltas if delta.index == index] for index in indices]
