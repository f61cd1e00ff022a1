"""As much of torch as the LLM API's model uses: a tensor made of a NumPy array."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Tensor:
    array: NDArray[np.float32]


def from_numpy(array: NDArray[np.float32]) -> Tensor:
    """Shares the array's memory, which torch warns of when it is not writable."""
    assert array.flags.writeable
    return Tensor(array)
