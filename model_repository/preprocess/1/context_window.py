"""The limit of prompt and completion together, and OpenAI's words for passing it."""

from dataclasses import dataclass

from client_error import ClientError

_CODE = "context_length_exceeded"


@dataclass(frozen=True)
class ContextWindow:
    """num_tokens is the most that prompt and completion may have together."""

    num_tokens: int

    def check_least(self, least: int, param: str) -> None:
        """Refuses a prompt by a lower bound of its length, which is known before it is tokenized."""
        if least >= self.num_tokens:
            raise self._prompt_too_long(f"at least {least}", param)

    def completion_length(self, num_prompt: int, asked: int | None, param: str) -> int:
        """The tokens asked for, or all that are left when nothing is asked for."""
        room = self.num_tokens - num_prompt
        if room < 1:
            raise self._prompt_too_long(str(num_prompt), param)
        if asked is not None and asked > room:
            raise ClientError(
                f"This model's maximum context length is {self.num_tokens} tokens. However, you requested "
                f"{num_prompt + asked} tokens ({num_prompt} in the {param}, {asked} in the completion). "
                f"Please reduce the length of the {param} or completion.",
                "max_tokens",
                _CODE,
            )
        return room if asked is None else asked

    def _prompt_too_long(self, num_prompt: str, param: str) -> ClientError:
        return ClientError(
            f"This model's maximum context length is {self.num_tokens} tokens. However, your {param} "
            f"resulted in {num_prompt} tokens. Please reduce the length of the {param}.",
            param,
            _CODE,
        )
