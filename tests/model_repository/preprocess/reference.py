"""Meta's own chat formatter, from the llama-models wheel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_models  # type: ignore[import-untyped]
from llama_models.datatypes import RawMessage  # type: ignore[import-untyped]
from llama_models.llama3.chat_format import ChatFormat  # type: ignore[import-untyped]
from llama_models.llama3.tokenizer import Tokenizer  # type: ignore[import-untyped]

TOKENIZER_MODEL = Path(llama_models.__file__).parent / "llama3" / "tokenizer.model"


class Reference:
    """Formats and tokenizes as llama-models does."""

    def __init__(self) -> None:
        self.tokenizer = Tokenizer(TOKENIZER_MODEL)
        self._format = ChatFormat(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, bos=False, eos=False))

    def chat(self, messages: Sequence[dict[str, Any]]) -> list[int]:
        """Ids of a dialog with the assistant's turn opened."""
        raw = [RawMessage.model_validate(message) for message in messages]
        return list(self._format.encode_dialog_prompt(raw).tokens)
