"""What is told about an id of a prompt: how probable it was, and what would have been more so."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Logits: TypeAlias = NDArray[np.float32]

# Ids and their log-probs, best first.
TopLogProbs: TypeAlias = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class TokenScore:
    """Natural logarithms of the model's own probabilities: before temperature, bias, penalties and masks.

    top holds the most probable ids with theirs, best first.
    """

    token_id: int
    log_prob: float
    top: TopLogProbs = ()
