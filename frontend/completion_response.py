"""Deltas -> text_completion objects, whole or in chunks; keys and their order are the Lambda Chat API's."""

import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from frontend.best_of import best_of
from frontend.generation import Delta, Token
from frontend.requests import CompletionRequest
from frontend.top_tokens import TopToken
from frontend.usage import Usage


class CompletionResponse:
    """One answer to a completion request; `echo` holds the text to put before each prompt's choices."""

    def __init__(self, completion: CompletionRequest, num_prompts: int, echo: Sequence[str]) -> None:
        self.usage = Usage(completion.num_candidates)
        self._completion = completion
        self._num_prompts = num_prompts
        self._echo = echo
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._text_lengths: defaultdict[int, int] = defaultdict(int)
        self._started: set[int] = set()

    def whole(self, deltas: Sequence[Delta]) -> dict[str, Any]:
        num_candidates, num_choices = self._completion.num_candidates, self._completion.num_choices
        kept = [
            candidate
            for prompt in range(self._num_prompts)
            for candidate in best_of(_candidates(deltas, prompt, num_candidates), num_choices)
        ]
        choices = [self._choice(candidate, index) for index, candidate in enumerate(kept)]
        return self._envelope(choices) | {"usage": self.usage.to_dict()}

    def chunks(self, delta: Delta) -> list[dict[str, Any]]:
        text = self._echoed(delta.index) + delta.text
        if not (text or delta.tokens or delta.finish_reason):
            return []
        choice = {
            "index": delta.index,
            "text": text,
            "logprobs": self._logprobs(delta.index, delta.tokens),
            "finish_reason": delta.finish_reason,
            "stop_reason": delta.stop_reason,
        }
        chunk = self._envelope([choice])
        if self._completion.wants_usage_in_chunks:
            chunk["usage"] = self.usage.to_dict()
        elif self._completion.wants_usage_chunk:
            chunk["usage"] = None
        return [chunk]

    def usage_chunk(self) -> dict[str, Any]:
        return self._envelope([]) | {"usage": self.usage.to_dict()}

    def _choice(self, deltas: Sequence[Delta], index: int) -> dict[str, Any]:
        return {
            "index": index,
            "text": self._echoed(index) + "".join(delta.text for delta in deltas),
            "logprobs": self._logprobs(index, [token for delta in deltas for token in delta.tokens]),
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

    def _echoed(self, index: int) -> str:
        if not self._echo or index in self._started:
            return ""
        self._started.add(index)
        text = self._echo[index // self._completion.num_choices]
        self._text_lengths[index] = len(text)
        return text

    def _logprobs(self, index: int, tokens: Sequence[Token]) -> dict[str, Any] | None:
        if not self._completion.wants_logprobs:
            return None
        texts = [_text(token) for token in tokens]
        offsets = []
        for text in texts:
            offsets.append(self._text_lengths[index])
            self._text_lengths[index] += len(text)
        return {
            "text_offset": offsets,
            "token_logprobs": [token.logprob for token in tokens],
            "tokens": texts,
            "top_logprobs": [_top_logprobs(token) for token in tokens],
        }


def _top_logprobs(token: Token) -> dict[str, float]:
    """Text -> log-prob, the best first, with the chosen token in any case; of equal texts the likeliest."""
    found: dict[str, float] = {}
    for top in token.top:
        found.setdefault(_text(top), top.logprob)
    if found:
        found.setdefault(_text(token), token.logprob)
    return found


def _text(token: Token | TopToken) -> str:
    return token.bytes.decode("utf-8", "replace")


def _candidates(deltas: Sequence[Delta], prompt: int, num_candidates: int) -> list[list[Delta]]:
    indices = range(prompt * num_candidates, (prompt + 1) * num_candidates)
    return [[delta for delta in deltas if delta.index == index] for index in indices]
