"""What a prompt asks of the replay engine itself: <<replay {"say": ..., "fault": ..., "after": ...}>>."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from replay_errors import RequestRefused
from replay_faults import Fault, read_fault
from tokenizers import Tokenizer

_DIRECTIVE = re.compile(r"<<replay (\{.*?\})>>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Directive:
    """ids are those of the text to say."""

    ids: NDArray[np.int32] | None = None
    fault: Fault | None = None


NO_DIRECTIVE = Directive()


class DirectiveReader:
    def __init__(self, tokenizer_json: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer_json))

    def read(self, prompt_ids: NDArray[np.int32]) -> Directive:
        """The last one in the prompt; raises RequestRefused for one that makes no sense."""
        found = _DIRECTIVE.findall(self._tokenizer.decode(prompt_ids.tolist(), skip_special_tokens=False))
        if not found:
            return NO_DIRECTIVE
        try:
            return self._directive(**json.loads(found[-1]))
        except (ValueError, TypeError) as error:
            raise RequestRefused(f"a directive of the replay engine: {error}") from error

    def _directive(self, *, say: str | None = None, fault: str = "", after: int = 0) -> Directive:
        if not isinstance(after, int):
            raise TypeError("after must be a whole number")
        return Directive(None if say is None else self._encode(say), read_fault(fault, after))

    def _encode(self, text: str) -> Any:
        return np.array(self._tokenizer.encode(text, add_special_tokens=False).ids, np.int32)
