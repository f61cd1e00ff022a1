"""Deltas -> text_completion objects, whole or in chunks; keys and their order are the Lambda Chat API's."""

import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from frontend.api.completions.best_of import best_of
from frontend.api.completions.echo import Echo
from frontend.api.completions.logprobs import CompletionLogprobs
from frontend.api.completions.request import CompletionRequest
from frontend.api.frames import TextFrames, data_frame
from frontend.generation.generation import Delta
from frontend.generation.usage import Usage


class CompletionResponse:
    """One answer to a completion request; `echoes` are put before each prompt's choices, if there are any."""

    def __init__(self, completion: CompletionRequest, num_prompts: int, echoes: Sequence[Echo]) -> None:
        self.usage = Usage(completion.num_candidates)
        self._completion = completion
        self._num_prompts = num_prompts
        self._echoes = echoes
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._logprobs_of: defaultdict[int, CompletionLogprobs] = defaultdict(CompletionLogprobs)
        self._started: set[int] = set()
        self._text_frames: dict[int, TextFrames] = {}

    def whole(self, deltas: Sequence[Delta]) -> dict[str, Any]:
        num_candidates, num_choices = self._completion.num_candidates, self._completion.num_choices
        kept = [
            candidate
            for prompt in range(self._num_prompts)
            for candidate in best_of(_candidates(deltas, prompt, num_candidates), num_choices)
        ]
        choices = [self._choice(candidate, index) for index, candidate in enumerate(kept)]
        return self._envelope(choices) | {"usage": self.usage.to_dict()}

    def frames(self, delta: Delta) -> list[bytes]:
        """The events of one delta: one, or none when it has nothing to tell."""
        if delta.text and delta.finish_reason is None and self._has_text_alone(delta.index):
            return [self._frames_of(delta.index).frame(delta.text)]
        return [data_frame(chunk) for chunk in self._chunks(delta)]

    def _has_text_alone(self, index: int) -> bool:
        has_echo = bool(self._echoes) and index not in self._started
        return not (has_echo or self._completion.wants_logprobs or self._completion.wants_usage_in_chunks)

    def _frames_of(self, index: int) -> TextFrames:
        if index not in self._text_frames:
            self._text_frames[index] = TextFrames(lambda text: self._chunk(index, text))
        return self._text_frames[index]

    def _chunks(self, delta: Delta) -> list[dict[str, Any]]:
        echo = self._echoed(delta.index)
        text = echo.text + delta.text
        if not (text or delta.tokens or delta.finish_reason):
            return []
        return [self._chunk(delta.index, text, self._logprobs(delta.index, echo, [delta]), delta)]

    def usage_chunk(self) -> dict[str, Any]:
        return self._envelope([]) | {"usage": self.usage.to_dict()}

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
            chunk["usage"] = self.usage.to_dict()
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


def _candidates(deltas: Sequence[Delta], prompt: int, num_candidates: int) -> list[list[Delta]]:
    indices = range(prompt * num_candidates, (prompt + 1) * num_candidates)
    return [[delta for delta in deltas if delta.index == index] for index in indices]
