"""Token counts of a request over its prompts and choices."""

from typing import Any

from frontend.generation.generation import Delta


class Usage:
    """Feeds on deltas; a prompt with several choices counts once."""

    def __init__(self, num_choices: int) -> None:
        self._num_choices = num_choices
        self._prompt_tokens: dict[int, int] = {}
        self._completion_tokens: dict[int, int] = {}
        self._cached_tokens: dict[int, int] = {}

    def add(self, delta: Delta) -> None:
        prompt = delta.index // self._num_choices
        self._prompt_tokens[prompt] = delta.num_prompt_tokens
        if delta.num_cached_tokens is not None:
            # Of several choices, the later ones find what the first has just computed.
            known = self._cached_tokens.get(prompt, delta.num_cached_tokens)
            self._cached_tokens[prompt] = min(known, delta.num_cached_tokens)
        self._completion_tokens[delta.index] = delta.num_completion_tokens

    def to_dict(self) -> dict[str, Any]:
        prompt = sum(self._prompt_tokens.values())
        completion = sum(self._completion_tokens.values())
        counts = {
            "prompt_tokens": prompt,
            "total_tokens": prompt + completion,
            "completion_tokens": completion,
        }
        cached = sum(self._cached_tokens.values())
        # Else the Lambda Chat API's object, to the key.
        return counts | {"prompt_tokens_details": {"cached_tokens": cached}} if cached else counts
