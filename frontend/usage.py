"""Token counts of a request over its prompts and choices."""

from frontend.generation import Delta


class Usage:
    """Feeds on deltas; a prompt with several choices counts once."""

    def __init__(self, num_choices: int) -> None:
        self._num_choices = num_choices
        self._prompt_tokens: dict[int, int] = {}
        self._completion_tokens: dict[int, int] = {}

    def add(self, delta: Delta) -> None:
        self._prompt_tokens[delta.index // self._num_choices] = delta.num_prompt_tokens
        self._completion_tokens[delta.index] = delta.num_completion_tokens

    def to_dict(self) -> dict[str, int]:
        prompt = sum(self._prompt_tokens.values())
        completion = sum(self._completion_tokens.values())
        return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
