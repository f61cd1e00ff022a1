"""The parameters of config.pbtxt, as an engine checks them when it loads."""

from collections.abc import Mapping
from typing import Any


class InvalidSettings(ValueError):
    """Stops the load; its text is one sentence for whoever runs the server."""


class Parameters:
    """Takes Triton's model configuration."""

    def __init__(self, model_config: Mapping[str, Any]) -> None:
        self._texts = {
            key: value.get("string_value", "") for key, value in model_config["parameters"].items()
        }

    def text(self, name: str) -> str:
        if name not in self._texts:
            raise InvalidSettings(f"{name}: is missing from the parameters of config.pbtxt.")
        return str(self._texts[name])

    def count(self, name: str, least: int = 1) -> int:
        text = self.text(name)
        if not text.isdecimal() or int(text) < least:
            raise InvalidSettings(f"{name}: must be a whole number, {least} at least, got {text!r}.")
        return int(text)
